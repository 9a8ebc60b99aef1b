// The server, seen from here: three kinds of request, one kind of error.

let key = "";

/** The API key for the requests that follow. It is kept in memory alone. */
export function useKey(value) {
  key = value;
}

export class ApiError extends Error {
  constructor(status, code, message, retryAfter) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** What is served. */
export async function models() {
  return (await (await request("v1/models")).json()).models;
}

/** The answer of model `name` to an action: predict, next, fill. */
export async function act(name, action, body, signal) {
  return (await request(address(name, action), body, signal)).json();
}

/** The same as it comes: events of a stream, parsed. */
export async function* stream(name, action, body, signal) {
  const response = await request(address(name, action), body, signal);
  let rest = "";
  for await (const text of chunks(response.body.pipeThrough(new TextDecoderStream()))) {
    const events = (rest + text).replaceAll("\r\n", "\n").split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5));
      if (data.length && data.join("").trim() !== "[DONE]") yield checked(JSON.parse(data.join("\n")));
    }
  }
}

const address = (name, action) => `v1/models/${encodeURIComponent(name)}:${action}`;

async function* chunks(readable) {
  // Not every browser iterates over a stream.
  const reader = readable.getReader();
  try {
    for (let part = await reached(reader.read()); !part.done; part = await reached(reader.read())) yield part.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function request(path, body, signal) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const options = body
    ? { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) }
    : { headers };
  const response = await reached(fetch(path, { ...options, signal, cache: "no-store", redirect: "error" }));
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new ApiError(response.status, error?.code, error?.message, response.headers.get("Retry-After"));
}

/** What the network brings, unless it was we who stopped it. */
function reached(promise) {
  return promise.catch((error) => {
    throw error.name === "AbortError" ? error : new ApiError(0, "unreachable", "");
  });
}

/** The event or item itself, unless it is an error. */
export function checked(answer) {
  if (answer.error) throw new ApiError(200, answer.error.code, answer.error.message);
  return answer;
}
