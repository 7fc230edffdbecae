// Node's http with a short idle timeout. /busy/MS keeps its one thread busy, as any real work does
// now and then: connections whose time is over meanwhile are closed before what has arrived on them
// is read. Arguments: port, server.keepAliveTimeout in milliseconds.
const http = require("http");

const server = http.createServer((request, response) => {
  const [, busy, ms] = request.url.split("/");
  if (busy === "busy") {
    const end = Date.now() + Number(ms);
    while (Date.now() < end);
  }
  request.resume();
  request.on("end", () => response.end("Hello, World!"));
});
server.keepAliveTimeout = Number(process.argv[3]);
server.headersTimeout = server.keepAliveTimeout + 1000;
server.listen(Number(process.argv[2]), "127.0.0.1");
