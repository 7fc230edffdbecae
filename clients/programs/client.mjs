// Node's fetch with its defaults. Arguments: URL, method.
const [url, method] = process.argv.slice(2);

async function ask() {
  try {
    const body = method === "POST" ? "hi" : undefined;
    const response = await fetch(url, { method, body, signal: AbortSignal.timeout(2000) });
    return `ok ${await response.text()}`;
  } catch (error) {
    return error.name === "TimeoutError" ? "timeout" : "error";
  }
}

for (let number = 0; number < 3; number++) {
  if (number > 0) await new Promise((done) => setTimeout(done, 333));
  console.log(await ask());
}
process.exit();
