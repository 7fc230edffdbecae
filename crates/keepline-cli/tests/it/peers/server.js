// Node's http: 4000 lines for every path; at /tenth it says close with every tenth answer of a
// connection. Arguments: port, idle timeout in milliseconds.
const http = require("http");

const body = "a line of thirty-two characters\n".repeat(4000);
const requests = new WeakMap();

const server = http.createServer((request, response) => {
  const count = (requests.get(request.socket) ?? 0) + 1;
  requests.set(request.socket, count);
  response.setHeader("Content-Length", body.length);
  if (request.url === "/tenth" && count % 10 === 0) response.setHeader("Connection", "close");
  response.end(body);
});
server.keepAliveTimeout = Number(process.argv[3]);
server.listen(Number(process.argv[2]), "127.0.0.1");
