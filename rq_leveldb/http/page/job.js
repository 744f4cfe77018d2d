import { act, call, get, post } from './api.js';
import { duration, el, list, moment, replace, shown, size, state, table, unreadable } from './dom.js';
import { requeue } from './jobs.js';

const block = (title, text) => [el('h2', null, title), el('pre', { tabindex: 0 }, text)];

export async function job(place, id) {
  async function show() {
    const found = await get(`/v1/jobs/${encodeURIComponent(id)}`);
    const log = found.has_log ? (await get(`${found.url}/log`)).log : null;
    const button = (title, kind, done, work) => el('button', { type: 'button', class: kind, 'data-key': title, onclick: (event) => act(event.target, done, work).then(show, () => {}) }, title);
    const status = found.status;
    replace(place, el('h1', null, found.description || found.id),
      el('div', { class: 'tools' },
        ['failed', 'stopped', 'canceled'].includes(status) && requeue(found, show),
        ['queued', 'scheduled', 'deferred', 'ready_to_enqueue'].includes(status) && button('Cancel', 'quiet', 'The job was canceled.', () => post(`${found.url}/cancel`)),
        status === 'started' && button('Stop', 'danger', 'The worker was asked to stop it.', () => post(`${found.url}/stop`)),
        el('button', {
          type: 'button', class: 'danger', 'data-key': 'delete',
          onclick: (event) => confirm('Delete this job?') && act(event.target, 'The job was deleted.', () => call('DELETE', found.url)).then(() => { location.hash = '#/jobs/queued'; }),
        }, 'Delete')),
      el('div', { class: 'card' }, list([
        ['Status', state(status)],
        ['Position', found.position === null ? null : `${found.position} ahead of it`],
        ['Function', el('code', null, found.function ?? 'cannot be read')],
        ['Id', el('code', null, found.id)],
        ['Queue', found.queue],
        ['Created', moment(found.created_at)],
        ['Scheduled for', moment(found.scheduled_at)],
        ['Enqueued', moment(found.enqueued_at)],
        ['Started', moment(found.started_at)],
        ['Ended', moment(found.ended_at)],
        ['Waited', duration(found.wait_seconds)],
        ['Ran', duration(found.duration_seconds)],
        ['Worker', found.worker && el('a', { href: '#/workers' }, found.worker)],
        ['Time limit', found.timeout === null ? null : found.timeout < 0 ? 'none' : duration(found.timeout)],
        ['Retries left', found.retries_left],
        ['Repeats left', found.repeats_left],
        ['Depends on', found.depends_on.length ? found.depends_on.map((name) => [el('a', { href: `#/job/${name}` }, name), ' ']) : null],
        ['Dependents', found.dependents.length ? found.dependents.map((name) => [el('a', { href: `#/job/${name}` }, name), ' ']) : null],
      ])),
      unreadable(found.faults),
      found.exception && block('Traceback', found.exception),
      (found.result !== null || found.result_repr) && block(found.result_repr ? 'Result (Python repr)' : 'Result', shown(found.result, found.result_repr)),
      block('Arguments', shown(found.args, found.args_repr) + (found.kwargs_repr || Object.keys(found.kwargs ?? {}).length ? `\n${shown(found.kwargs, found.kwargs_repr)}` : '')),
      (found.meta_repr || Object.keys(found.meta ?? {}).length > 0) && block('Meta', shown(found.meta, found.meta_repr)),
      log !== null && block('Output', log),
      found.usage.length > 0 && [el('h2', null, 'Resources'), table('One row per run', [
        { title: 'Started', show: (run) => moment(run.started ? new Date(run.started * 1000).toISOString() : null) ?? '–' },
        { title: 'Wall time', number: true, show: (run) => duration(run.wall) ?? '–' },
        { title: 'CPU', number: true, show: (run) => duration(run.cpu) ?? '–' },
        { title: 'Memory', number: true, show: (run) => size(run.memory) ?? '–' },
        { title: 'Exit', show: (run) => run.exit ?? '' },
      ], found.usage, '')],
      found.results.length > 1 && [el('h2', null, 'Earlier results'), table('Newest first', [
        { title: 'Time', show: (result) => moment(result.at) },
        { title: 'Outcome', show: (result) => result.type.replaceAll('_', ' ') },
        { title: 'Ran', number: true, show: (result) => duration(result.duration_seconds) ?? '–' },
      ], found.results, '')]);
    return status;
  }
  await show();
  return { refresh: show };
}
