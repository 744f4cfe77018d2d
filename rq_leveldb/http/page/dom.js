// Building the page from elements and text: no markup is ever made from data.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat(9)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

// Replaces the content and keeps the keyboard focus where it was.
export function replace(place, ...children) {
  const key = document.activeElement?.dataset?.key;
  const open = new Set([...place.querySelectorAll('details[open][data-key]')].map((item) => item.dataset.key));
  const held = place.contains(document.activeElement) ? key : undefined;
  place.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  for (const item of place.querySelectorAll('details[data-key]')) if (open.has(item.dataset.key)) item.open = true;
  if (held !== undefined) place.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
}

export function table(caption, columns, rows, none) {
  if (!rows.length) return el('p', { class: 'card empty' }, none);
  const head = columns.map((column) => el('th', { scope: 'col', class: column.number ? 'number' : null }, column.title));
  const body = rows.map((row) =>
    el('tr', null, columns.map((column, index) =>
      el(index ? 'td' : 'th', { scope: index ? null : 'row', class: column.number ? 'number' : null, 'data-label': column.title },
        el('span', null, column.show(row))))));
  return el('table', { class: 'wide' }, el('caption', null, caption), el('thead', null, el('tr', null, head)), el('tbody', null, body));
}

export function list(pairs) {
  return el('dl', null, pairs.filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([name, value]) => [el('dt', null, name), el('dd', null, value)]));
}

export function state(name) {
  return el('span', { class: `state ${name}` }, name === 'started' ? 'running' : name.replaceAll('_', ' '));
}

// What cannot be read: parts of a record, or keys that are stored where records should be.
export function unreadable(found, title = 'Cannot be read') {
  if (!found?.length) return null;
  return el('section', { class: 'card unreadable', 'aria-label': title }, el('h2', null, title),
    list(found.map((item) => (item.key === undefined
      ? [item.field || 'whole record', `${item.value} – ${item.error}`]
      : [item.key, item.reason]))));
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

export function moment(text) {
  if (!text) return null;
  const at = new Date(text);
  const near = Math.abs(Date.now() - at) < 12 * 3600e3;
  return el('time', { datetime: text, title: full.format(at) }, near ? clock.format(at) : full.format(at));
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return null;
  if (seconds < 0.001) return '< 1 ms';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return null;
  return bytes < 1 << 20 ? `${Math.round(bytes / 1024)} kB` : `${(bytes / (1 << 20)).toFixed(1)} MB`;
}

export function shown(value, text) {
  if (text !== null && text !== undefined) return text;
  return JSON.stringify(value, null, 2);
}
