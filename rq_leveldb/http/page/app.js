// Which page is shown, and when it is refreshed.

import { call, get, post, say } from './api.js';
import { el, replace } from './dom.js';
import { failures } from './failures.js';
import { job } from './job.js';
import { jobs } from './jobs.js';
import { listen, start, stop } from './live.js';
import { overview } from './overview.js';
import { queue } from './queue.js';
import { schedules } from './schedules.js';
import { workers } from './workers.js';

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const logout = document.getElementById('logout');
const PAGES = {
  failed: ['Failed', (place, detail, query) => failures(place, query)],
  jobs: ['Jobs', jobs],
  job: ['Jobs', job],
  queue: ['Overview', queue],
  workers: ['Workers', workers],
  schedules: ['Schedules', schedules],
};

let current = null;
let visit = 0;
let timer = null;
let pending = null;
let refreshed = 0;

function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, ...rest] = path.split('/');
  const [title, view] = PAGES[name] ?? ['Overview', overview];
  return [title, (place) => view(place, rest.map(decodeURIComponent).join('/'), query)];
}

async function open(isFirst) {
  // The skip link is not a page.
  if (location.hash === '#main') return;
  const mine = (visit += 1);
  const [title, view] = route();
  current = null;
  for (const link of nav.children) {
    if (link.textContent === title) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const place = el('div');
  main.setAttribute('aria-busy', 'true');
  try {
    const opened = await view(place);
    if (mine !== visit) return;
    current = opened;
  } catch (error) {
    if (mine !== visit || error.status === 401) return;
    replace(place, el('h1', null, title), el('p', { class: 'card error' }, error.message, ' ', error.hint));
  }
  document.title = `${place.querySelector('h1').textContent} – rq-leveldb`;
  main.replaceChildren(place);
  main.removeAttribute('aria-busy');
  refreshed = Date.now();
  wait();
  if (isFirst) return;
  say('');
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function wait() {
  clearTimeout(timer);
  timer = setTimeout(refresh, (current?.every ?? 30) * 1000);
}

async function refresh() {
  const shown = current;
  refreshed = Date.now();
  if (shown && !document.hidden) {
    try {
      await shown.refresh();
    } catch (error) {
      if (shown === current && error.status !== 401) say(error.message);
    }
  }
  wait();
}

// Many events arrive at once; a page is refreshed at most once a second, or as seldom as it asks for.
function soon() {
  if (pending !== null) return;
  const due = refreshed + (current?.pause ?? 1) * 1000;
  pending = setTimeout(() => {
    pending = null;
    refresh();
  }, Math.max(1000, due - Date.now()));
}

function login() {
  visit += 1;
  current = null;
  stop();
  clearTimeout(timer);
  nav.hidden = true;
  logout.hidden = true;
  main.removeAttribute('aria-busy');
  document.title = 'Log in – rq-leveldb';
  const token = el('input', { type: 'password', name: 'token', autocomplete: 'current-password', required: true, id: 'token' });
  const error = el('p', { class: 'error', role: 'alert' });
  main.replaceChildren(el('form', {
    class: 'card login',
    onsubmit: async (event) => {
      event.preventDefault();
      error.textContent = '';
      try {
        await post('/v1/session', { token: token.value.trim() });
        await begin();
      } catch (failure) {
        error.textContent = failure.hint ? `${failure.message} ${failure.hint}` : failure.message;
        token.focus();
      }
    },
  }, el('h1', null, 'Log in'), el('label', null, 'Token', token), el('p', null, 'Run ', el('code', null, 'rq-leveldb token'), ' to print it.'), error, el('button', { type: 'submit' }, 'Log in')));
  token.focus();
}

async function begin() {
  const session = await get('/v1/session');
  if (!session.is_authenticated) return login();
  nav.hidden = false;
  logout.hidden = !session.needs_token;
  await start();
  await open(true);
}

listen((name) => name !== 'gap' && soon());
addEventListener('hashchange', () => open(false));
addEventListener('logged-out', login);
document.addEventListener('visibilitychange', refresh);
logout.addEventListener('click', async () => {
  await call('DELETE', '/v1/session');
  login();
});
begin().catch((error) => say(error.message));
