// Which page is shown, and when it is refreshed.

import { call, get, post, say } from './api.js';
import { el, replace } from './dom.js';
import { job } from './job.js';
import { jobs } from './jobs.js';
import { listen, start, stop } from './live.js';
import { overview } from './overview.js';
import { schedules } from './schedules.js';
import { workers } from './workers.js';

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const logout = document.getElementById('logout');
const PAUSE = 1000;

let current = null;
let visit = 0;
let timer = null;
let pending = null;

function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, ...rest] = path.split('/');
  const detail = rest.map(decodeURIComponent).join('/');
  if (name === 'jobs') return ['Jobs', (place) => jobs(place, detail, query)];
  if (name === 'job') return ['Jobs', (place) => job(place, detail)];
  if (name === 'workers') return ['Workers', workers];
  if (name === 'schedules') return ['Schedules', schedules];
  return ['Overview', overview];
}

async function open(isFirst) {
  // The skip link is not a page.
  if (location.hash === '#main') return;
  const mine = (visit += 1);
  const [title, view] = route();
  current = null;
  clearInterval(timer);
  document.title = `${title} – rq-leveldb`;
  for (const link of nav.children) {
    if (link.textContent === title) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const place = el('div');
  try {
    const opened = await view(place);
    if (mine !== visit) return;
    current = opened;
    timer = setInterval(refresh, (opened.every ?? 30) * 1000);
  } catch (error) {
    if (mine !== visit || error.status === 401) return;
    replace(place, el('h1', null, title), el('p', { class: 'card error' }, error.message));
  }
  main.replaceChildren(place);
  say('');
  if (!isFirst) main.focus();
}

async function refresh() {
  const shown = current;
  if (!shown || document.hidden) return;
  try {
    await shown.refresh();
  } catch (error) {
    if (shown === current && error.status !== 401) say(error.message);
  }
}

// Many events arrive at once; the page refreshes at most once a second.
function soon() {
  if (pending !== null) return;
  pending = setTimeout(() => {
    pending = null;
    refresh();
  }, PAUSE);
}

function login() {
  visit += 1;
  current = null;
  stop();
  nav.hidden = true;
  logout.hidden = true;
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
