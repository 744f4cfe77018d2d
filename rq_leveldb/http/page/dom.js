// Building the page from elements and text: no markup is ever made from data.

const SVG = 'http://www.w3.org/2000/svg';
// Elements that somebody listens to: they are kept or replaced as a whole, with what their listeners refer to.
const heard = new WeakSet();

const given = (children) => children.flat(9).filter((child) => child !== null && child !== undefined && child !== false);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) {
      element.addEventListener(name.slice(2), value);
      heard.add(element);
    } else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...given(children));
  return element;
}

export function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function morph(old, now) {
  if (old.isEqualNode(now)) return;
  if (heard.has(old) || heard.has(now) || old.nodeType !== 1 || !old.cloneNode(false).isEqualNode(now.cloneNode(false))) old.replaceWith(now);
  else {
    const isAtEnd = old.scrollTop > 0 && old.scrollTop + old.clientHeight >= old.scrollHeight - 2;
    morphAll(old, [...now.childNodes]);
    if (isAtEnd) old.scrollTop = old.scrollHeight;
  }
}

function morphAll(place, children) {
  const before = [...place.childNodes];
  children.forEach((child, index) => (index < before.length ? morph(before[index], child) : place.append(child)));
  for (const child of before.slice(children.length)) child.remove();
}

// Makes the content what is given and changes only what differs: selected text, scroll positions, open details and the
// keyboard focus stay.
export function replace(place, ...children) {
  const focus = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const made = el('div', null, children);
  for (const item of made.querySelectorAll('details[data-key]')) {
    const old = place.querySelector(`details[data-key="${CSS.escape(item.dataset.key)}"]`);
    if (old) item.open = old.open;
  }
  morphAll(place, [...made.childNodes]);
  if (focus !== undefined && !place.contains(document.activeElement)) place.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
}

export function table(caption, columns, rows, none) {
  if (!rows.length) return el('p', { class: 'card empty' }, none);
  const naming = columns.find((column) => column.isName) ?? columns[0];
  const head = columns.map((column) => el('th', { scope: 'col', class: column.number ? 'number' : null }, column.title));
  const body = rows.map((row) =>
    el('tr', null, columns.map((column) =>
      el(column === naming ? 'th' : 'td', { scope: column === naming ? 'row' : null, class: column.number ? 'number' : column.kind, 'data-label': column.title },
        el('span', { class: 'cell' }, column.show(row))))));
  return el('table', { class: 'wide' }, el('caption', null, caption), el('thead', null, el('tr', null, head)), el('tbody', null, body));
}

export function list(pairs) {
  return el('dl', null, pairs.filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([name, value]) => [el('dt', null, name), el('dd', null, value)]));
}

export const words = (name) => (name === 'started' ? 'running' : name.replaceAll('_', ' '));

export function state(name) {
  return el('span', { class: `state ${name}` }, words(name));
}

export const link = (href, key, ...children) => el('a', { href, 'data-key': `${key} ${href}` }, children);
export const jobLink = (id, text) => link(`#/job/${encodeURIComponent(id)}`, 'job', text || id);
export const queueLink = (name) => link(`#/queue/${encodeURIComponent(name)}`, 'queue', name);

// The address of a list of jobs; filters without a value are left out.
export function jobsHref(status, filters = {}) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value)).toString();
  return `#/jobs/${status}${query ? `?${query}` : ''}`;
}

// A number that draws no attention where it is zero.
export function count(value, href, kind) {
  if (value === null || value === undefined) return 'unreadable';
  const text = el('span', { class: value ? kind : 'zero' }, value.toLocaleString('en'));
  return href ? link(href, 'count', text) : text;
}

// Stands where there is nothing to show.
export const none = () => el('span', { class: 'zero' }, '–');
export const jobCount = (number) => (number === 1 ? '1 job' : `${number.toLocaleString('en')} jobs`);

// What cannot be read: parts of a record, or keys that are stored where records should be.
export function unreadable(found, title = 'Cannot be read') {
  if (!found?.length) return null;
  return el('section', { class: 'card unreadable', 'aria-label': title }, el('h2', null, title),
    list(found.map((item) => (item.key === undefined
      ? [item.field || 'whole record', `${item.value} – ${item.error}`]
      : [item.key, item.reason]))));
}

// Lines to put into a terminal or a file.
export function lines(name, text) {
  const said = el('span', { role: 'status' });
  return el('figure', { class: 'lines' }, el('figcaption', null, name),
    el('pre', { tabindex: 0 }, text),
    navigator.clipboard && el('button', {
      type: 'button', class: 'quiet', 'data-key': `copy ${name}`, 'aria-label': `Copy: ${name}`,
      onclick: () => navigator.clipboard.writeText(text).then(() => { said.textContent = 'Copied.'; }, () => { said.textContent = 'The browser does not allow it.'; }),
    }, 'Copy'), said);
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const short = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

export function moment(text, withDate = false) {
  if (!text) return null;
  const at = new Date(text);
  const near = !withDate && Math.abs(Date.now() - at) < 12 * 3600e3;
  return el('time', { datetime: text, title: full.format(at) }, near ? clock.format(at) : short.format(at));
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return null;
  if (seconds < 0.001) return '< 1 ms';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} days`;
}

// When something will be: its date, and how long that is from now.
export function due(text) {
  if (!text) return null;
  const left = (new Date(text) - Date.now()) / 1000;
  return [moment(text, true), ' ', el('span', { class: 'soft' }, left < 0 ? '(overdue)' : left < 90 ? '(in a moment)' : `(in ${duration(left)})`)];
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return null;
  return bytes < 1 << 20 ? `${Math.round(bytes / 1024)} kB` : `${(bytes / (1 << 20)).toFixed(1)} MB`;
}

export function shown(value, text) {
  if (text !== null && text !== undefined) return text;
  return JSON.stringify(value, null, 2);
}
