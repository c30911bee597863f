import { it } from 'vitest';
import { killWorkers } from './scenarios/kill-workers.ts';
import { replyBadly } from './scenarios/reply-badly.ts';
import { describeFaults } from './support/describe-faults.ts';

describeFaults('what was promised of workers', (putOn) => {
  it('survives their death in mid-handler and between effect and reply', (context) => putOn(killWorkers, context));
  it('survives every wrong way to reply', (context) => putOn(replyBadly, context));
});
