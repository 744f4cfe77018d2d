// Requeueing and deleting many failed jobs: a group, a selection, or all that a list shows.

import { act, post, say } from './api.js';
import { el, jobCount } from './dom.js';

// The service does a thousand at a time and says where to go on.
async function all(path, chosen, done) {
  let number = 0;
  for (let cursor = null; ;) {
    const answer = await post(path, cursor ? { ...chosen, cursor } : chosen);
    number += answer.count;
    cursor = answer.next;
    if (!cursor) return `${jobCount(number)} ${done}.`;
    say(`${jobCount(number)} ${done} so far.`);
  }
}

// `what` names the jobs, as in "the 3 selected jobs"; `choose` returns the request's body.
export function requeueButton(what, label, choose, again, key) {
  return el('button', {
    type: 'button', class: 'quiet', 'data-key': `requeue ${key}`, 'aria-label': `${label}: ${what}`,
    onclick: (event) => act(event.target, '', () => all('/v1/requeue-failed', choose(), 'queued again')).then(again),
  }, label);
}

export function deleteButton(what, label, choose, again, key) {
  return el('button', {
    type: 'button', class: 'danger', 'data-key': `delete ${key}`, 'aria-label': `${label}: ${what}`,
    onclick: (event) => confirm(`Delete ${what}? This cannot be undone.`) &&
      act(event.target, '', () => all('/v1/delete-failed', choose(), 'deleted')).then(again),
  }, label);
}
