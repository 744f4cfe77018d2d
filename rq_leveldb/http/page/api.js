// Requests to the service.

export class Failure extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The service answered ${status}.`);
    this.status = status;
    this.hint = problem.hint;
  }
}

export async function call(method, path, document) {
  const options = { method, headers: {}, credentials: 'same-origin' };
  if (document !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    options.body = JSON.stringify(document);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Failure(0, { detail: 'The service cannot be reached.' });
  }
  if (answer.status === 204) return null;
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    if (answer.status === 401) window.dispatchEvent(new Event('logged-out'));
    throw new Failure(answer.status, content);
  }
  return content;
}

export const get = (path) => call('GET', path);

// All pages of a list by name.
export async function getAll(path) {
  const found = await get(path);
  for (let { next } = found; next;) {
    const more = await get(`${path}?cursor=${encodeURIComponent(next)}`);
    found.items.push(...more.items);
    next = more.next;
  }
  return found;
}

export const post = (path, document) => call('POST', path, document);

// Text for the status line under the header; read aloud by screen readers.
export function say(text) {
  window.document.getElementById('notice').textContent = text;
}

// Runs a button's action, and reports how it went: what the action returns, or else what is given.
export async function act(button, done, work) {
  button.disabled = true;
  try {
    const said = await work();
    say(typeof said === 'string' ? said : done);
  } catch (error) {
    say(error.hint ? `${error.message} ${error.hint}` : error.message);
  } finally {
    button.disabled = false;
  }
}
