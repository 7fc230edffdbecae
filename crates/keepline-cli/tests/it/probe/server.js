// Node's http as it is, without any setting. Argument: port.
const http = require("http");

const server = http.createServer((request, response) => response.end("Hello, World!"));
server.listen(Number(process.argv[2]), "127.0.0.1");
