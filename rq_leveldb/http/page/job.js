// One job: why it failed or does not run, what it was given and what came of it.

import { act, call, get, post } from './api.js';
import { jobCount, due, duration, el, jobLink, link, list, moment, none, queueLink, replace, shown, size, state, table, unreadable } from './dom.js';
import { requeue, runNow } from './jobs.js';
import { traceback } from './traceback.js';

const ENDED = ['finished', 'failed', 'stopped', 'canceled'];
const block = (title, text, name = title) => [el('h2', null, title), el('pre', { tabindex: 0, 'aria-label': title, 'data-key': name }, text)];

// Why a job does not run, in a sentence; null for one that runs or has ended.
async function reason(job) {
  if (job.status === 'scheduled') return ['It is due on ', due(job.scheduled_at), '. A worker with the scheduler puts it on its queue then.'];
  if (job.status === 'deferred') {
    const stuck = job.dependency_jobs.filter((other) => [null, 'failed', 'stopped', 'canceled'].includes(other.status));
    if (!stuck.length) return 'It waits until the jobs that it depends on have finished. They are listed below.';
    return ['It waits for ', stuck.map((other, index) => [index > 0 && ', ', other.status ? [jobLink(other.id, other.description), `, which ${other.status === 'failed' ? 'failed' : `was ${other.status}`}`] : ['the job ', el('code', null, other.id), ', which is no longer stored']]),
      '. It does not run before that has been requeued and has finished.'];
  }
  if (job.status !== 'queued') return null;
  const [queue, suspension] = await Promise.all([get(`/v1/queues/${encodeURIComponent(job.queue)}`).catch(() => null), get('/v1/suspension')]);
  const ahead = job.position === null ? '' : job.position === 0 ? 'It is the next in its queue. ' : job.position === 1 ? 'One job is ahead of it. ' : `${job.position.toLocaleString('en')} jobs are ahead of it. `;
  if (suspension.is_suspended) return [ahead, 'All workers are suspended; ', link('#/', 'resume', 'resume them'), ' to go on.'];
  if (queue?.is_paused) return [ahead, 'The queue ', queueLink(job.queue), ' is paused.'];
  if (queue?.workers === 0) return [ahead, 'No worker serves the queue ', queueLink(job.queue), '. Start one with ', el('code', null, `rq-leveldb worker ${job.queue}`), '.'];
  return [ahead, queue && `${queue.workers === 1 ? 'One worker serves' : `${queue.workers} workers serve`} its queue.`];
}

// meta["progress"], from 0 to 100, or as a fraction with a decimal point.
function progress(meta) {
  const value = meta?.progress;
  if (typeof value !== 'number' || value < 0 || value > 100) return null;
  const percent = Math.round(value < 1 ? value * 100 : value);
  const text = typeof meta.progress_text === 'string' && meta.progress_text ? `, ${meta.progress_text}` : '';
  return el('p', { class: 'progress' }, el('label', null, `Progress: ${percent} %${text}`, el('progress', { max: 100, value: percent }, `${percent} %`)));
}

const jobTable = (title, jobs, all) => jobs.length > 0 && [el('h2', null, title), table(
  all.length > jobs.length ? `The first ${jobs.length} of ${all.length}` : jobCount(jobs.length), [
    { title: 'Job', show: (job) => (job.status === null ? el('code', null, job.id) : jobLink(job.id, job.description)) },
    { title: 'Status', show: (job) => (job.status === null ? 'no longer stored' : state(job.status)) },
  ], jobs, '')];

const hasContent = (value, text) => Boolean(text) || Object.keys(value ?? {}).length > 0;

export async function job(place, id) {
  let status = null;
  async function show() {
    const found = await get(`/v1/jobs/${encodeURIComponent(id)}`);
    const [log, why] = await Promise.all([found.has_log ? get(`${found.url}/log`).then((answer) => answer.log) : null, reason(found)]);
    const button = (title, kind, done, work, question) => el('button', {
      type: 'button', class: kind, 'data-key': title,
      onclick: (event) => (!question || confirm(question)) && act(event.target, done, work).then(show, () => {}),
    }, title);
    status = found.status;
    const isFailed = status === 'failed' || status === 'stopped';
    replace(place, el('h1', null, found.description || found.id),
      el('p', { class: 'facts' }, state(status), el('span', null, 'in ', queueLink(found.queue)), found.function && el('code', null, found.function), el('code', { class: 'soft' }, found.id)),
      el('div', { class: 'tools' },
        ['failed', 'stopped', 'canceled'].includes(status) && requeue(found, show),
        ['queued', 'scheduled', 'deferred', 'ready_to_enqueue'].includes(status) && button('Cancel', 'quiet', 'The job was canceled.', () => post(`${found.url}/cancel`), 'Cancel this job?'),
        status === 'scheduled' && runNow(found, show),
        status === 'started' && button('Stop', 'danger', 'The worker was asked to stop it.', () => post(`${found.url}/stop`), 'Stop this job? Its process is killed.'),
        el('button', {
          type: 'button', class: 'danger', 'data-key': 'delete',
          onclick: (event) => confirm('Delete this job? This cannot be undone.') && act(event.target, 'The job was deleted.', async () => {
            await call('DELETE', found.url);
            location.hash = isFailed ? '#/failed' : '#/jobs/queued';
          }),
        }, 'Delete')),
      why && el('section', { class: 'card attention', 'aria-label': 'Why it does not run' }, el('p', null, why)),
      unreadable(found.faults),
      isFailed && (found.exception ? traceback(found.exception, found.error ?? 'Stopped') : el('p', { class: 'card failure' }, 'No error is kept.')),
      progress(found.meta),
      status === 'finished' && block(found.result_repr ? 'Result (Python repr)' : 'Result', found.result === null && !found.result_repr ? 'None' : shown(found.result, found.result_repr), 'result'),
      block('Arguments', shown(found.args, found.args_repr) + (hasContent(found.kwargs, found.kwargs_repr) ? `\n${shown(found.kwargs, found.kwargs_repr)}` : '')),
      hasContent(found.meta, found.meta_repr) && block('Meta', shown(found.meta, found.meta_repr)),
      log !== null ? block(status === 'started' ? 'Output so far' : 'Output', log, 'log')
        : status === 'started' && el('p', { class: 'soft' }, 'Its output is kept if the worker runs with --capture-output.'),
      runs(found),
      jobTable('Waits for', found.dependency_jobs, found.depends_on),
      jobTable('Waited for by', found.dependent_jobs, found.dependents),
      el('h2', null, 'Details'),
      el('div', { class: 'card' }, list([
        ['Created', moment(found.created_at)],
        ['Scheduled for', due(found.scheduled_at)],
        ['Enqueued', moment(found.enqueued_at)],
        ['Started', moment(found.started_at)],
        ['Ended', moment(found.ended_at)],
        ['Waited', duration(found.wait_seconds)],
        ['Ran', duration(found.duration_seconds)],
        ['Worker', found.worker && link('#/workers', 'worker', found.worker)],
        ['Time limit', found.timeout === null ? null : found.timeout < 0 ? 'none' : duration(found.timeout)],
        ['Result is kept', found.result_ttl === null ? null : found.result_ttl < 0 ? 'forever' : found.result_ttl === 0 ? 'not at all' : `for ${duration(found.result_ttl)}`],
        ['Retries left', found.retries_left],
        ['Repeats left', found.repeats_left],
      ])));
  }
  await show();
  // What it prints and its progress are no events.
  return { refresh: show, get every() { return status === 'started' ? 2 : ENDED.includes(status) ? 60 : 10; } };
}

function runs(found) {
  const now = found.executions.map((run) => ({ started: run.started_at, worker: run.worker }));
  const ended = found.usage.map((run) => ({ ...run, started: run.started ? new Date(run.started * 1000).toISOString() : null })).reverse();
  const all = [...now, ...ended];
  return all.length > 0 && [el('h2', null, 'Executions'), table('Newest first', [
    { title: 'Started', show: (run) => moment(run.started) ?? none() },
    { title: 'Worker', show: (run) => run.worker ?? none() },
    { title: 'Ran', number: true, show: (run) => duration(run.wall) ?? (run.exit === undefined ? 'running' : none()) },
    { title: 'Processor', number: true, show: (run) => duration(run.cpu) ?? none() },
    { title: 'Memory', number: true, show: (run) => size(run.memory) ?? none() },
    { title: 'Exit', show: (run) => run.exit ?? none() },
  ], all, ''), found.results.length > 1 && table('How they ended, newest first', [
    { title: 'Time', show: (result) => moment(result.at) ?? none() },
    { title: 'Outcome', show: (result) => state(result.type) },
    { title: 'Ran', number: true, show: (result) => duration(result.duration_seconds) ?? none() },
  ], found.results, '')];
}
