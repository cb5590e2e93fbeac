// The REST interface.

const API = "/api/v1";

/** What a request or job could not do: one line, and the remedy. */
export class Problem extends Error {
  constructor({ detail = "the studio does not answer", remedy = "", status = 0 } = {}) {
    super(detail);
    this.remedy = remedy;
    this.status = status;
  }
}

async function call(method, path, body, signal) {
  let answer;
  try {
    answer = await fetch(API + path, {
      method,
      signal,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ remedy: "see whether `mgsv studio` still runs" });
  }
  if (!answer.ok) throw new Problem(await answer.json().catch(() => ({})));
  return answer;
}

export const get = async (path, signal) => (await call("GET", path, undefined, signal)).json();
export const bytes = async (path, signal) =>
  (await call("GET", path, undefined, signal)).arrayBuffer();
export const put = async (path, body) => (await call("PUT", path, body)).json();
export const post = async (path, body) => (await call("POST", path, body)).json();
export const remove = (path) => call("DELETE", path);
export const address = (path) => API + path;

/** Sends a clip; `progress` is called with the share that was sent. `signal` ends it. */
export function upload(file, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not say how much was sent
    request.open("POST", `${API}/clips/upload?name=${encodeURIComponent(file.name)}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onload = () => {
      if (request.status === 201) resolve(request.response);
      else reject(new Problem(request.response ?? undefined));
    };
    request.onerror = () => reject(new Problem());
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** The jobs that are not done, each told to `listener` at every step.
 *
 * Browsers keep six connections to a host, over all tabs: the stream is open only while there is
 * something to wait for.
 */
export class Jobs {
  #listener;
  #stream = null;
  #active = new Set();
  #events = new Map(); // of each job: the number of its last event
  #last = 0;

  constructor(listener) {
    this.#listener = listener;
  }

  /** Takes note of a job as it was answered. */
  take(job) {
    // The answer to a request may come after the stream has told how it went on.
    if (job.event <= (this.#events.get(job.id) ?? -1)) return job;
    this.#events.set(job.id, job.event);
    this.#last = Math.max(this.#last, job.event);
    if (["waiting", "running"].includes(job.state)) this.#active.add(job.id);
    else this.#active.delete(job.id);
    this.#listener(job);
    if (this.#active.size && !this.#stream) this.#open();
    if (!this.#active.size && this.#stream) this.#close();
    return job;
  }

  #open() {
    this.#stream = new EventSource(`${API}/events?after=${this.#last - 1}`);
    this.#stream.addEventListener("job", (event) => this.take(JSON.parse(event.data)));
    this.#stream.addEventListener("error", () => {
      if (this.#stream?.readyState !== EventSource.CLOSED) return; // it comes again by itself
      this.#close();
      setTimeout(() => this.#active.size && !this.#stream && this.#open(), 2000);
    });
  }

  #close() {
    this.#stream?.close();
    this.#stream = null;
  }
}
