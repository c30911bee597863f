import { it } from 'vitest';
import { breakConnections, poolConnections } from './scenarios/break-database.ts';
import { deleteTopic } from './scenarios/delete-topic.ts';
import { killPostgres } from './scenarios/kill-postgres.ts';
import { killBroker, pauseBroker } from './scenarios/stop-broker.ts';
import { describeFaults } from './support/describe-faults.ts';

describeFaults('what was promised while servers fail', (putOn) => {
  it('survives kill -9 of the broker', (context) => putOn(killBroker, context));
  it('survives a broker that hangs beyond the session timeout', (context) => putOn(pauseBroker, context));
  it('is kept for all other commands when a topic is deleted', (context) => putOn(deleteTopic, context));
  it('survives kill -9 of PostgreSQL', (context) => putOn(killPostgres, context));
  it('survives connections cut in mid-transaction, slow and half-open', (context) => putOn(breakConnections, context));
  it('is kept through a transaction pooler', (context) => putOn(poolConnections, context));
});
