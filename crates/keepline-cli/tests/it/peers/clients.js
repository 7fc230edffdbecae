// Node's fetch against `keepline serve`: compares every byte.
const base = process.argv[2];
const lines = Array.from({ length: 2000 }, (_, n) =>
  `line ${String(n + 1).padStart(17, "0")} keepline\n`).join("");
const upload = "0123456789abcdef".repeat(6400);
const script = [
  ["GET", "/", undefined, 200, "Hello, World!"],
  ["GET", "/lines/2000", undefined, 200, lines],
  ["GET", "/chunked/100000", undefined, 200, ".".repeat(100000)],
  ["POST", "/echo", upload, 200, upload],
  ["GET", "/status/404", undefined, 404, "404 Not Found\n"],
  ["POST", "/status/403", upload, 403, "403 Forbidden\n"],
];
(async () => {
  for (let round = 0; round < 3; round++) {
    for (const [method, path, body, status, expected] of script) {
      const answer = await fetch(base + path, { method, body });
      const content = await answer.text();
      if (answer.status !== status || content !== expected) {
        console.error(path, answer.status, content.slice(0, 80));
        process.exit(1);
      }
    }
  }
  console.log((await (await fetch(base + "/stats")).json()).opened);
})();
