import { it } from 'vitest';
import { failOver, failOverAsync } from './scenarios/fail-over.ts';
import { migrateUnderLoad } from './scenarios/migrate-under-load.ts';
import { describeFaults } from './support/describe-faults.ts';

describeFaults('what was promised while its database changes', (putOn) => {
  it('survives a failover to a synchronous standby', (context) => putOn(failOver, context));
  it('is kept, but for commits that are lost, over a failover to one that is behind', (context) =>
    putOn(failOverAsync, context));
  it('is kept beside a newer release that migrates', (context) => putOn(migrateUnderLoad, context));
});
