// A server on three ports: TLS with HTTP/2 and HTTP/1.1, HTTP/2 alone, HTTP/1.1 alone. Many lines
// everywhere; what is posted comes back.
const { readFileSync } = require("fs");
const [tls, h2, h1, cert, key] = process.argv.slice(2);
const lines = "a line of thirty-two characters\n".repeat(4000);
const answer = (request, response) =>
  request.method === "POST" ? request.pipe(response) : response.end(lines);
const http2 = require("http2");
const secure = { cert: readFileSync(cert), key: readFileSync(key), allowHTTP1: true };
require("http").createServer(answer).listen(h1, "127.0.0.1");
http2.createServer(answer).listen(h2, "127.0.0.1");
http2.createSecureServer(secure, answer).listen(tls, "127.0.0.1");
