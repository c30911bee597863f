// Every fault run, in the order of the table.
import { breakConnections, poolConnections } from './scenarios/break-database.ts';
import { crossInstances } from './scenarios/cross-instances.ts';
import { deleteTopic } from './scenarios/delete-topic.ts';
import { failOver, failOverAsync } from './scenarios/fail-over.ts';
import { killEmbedded } from './scenarios/kill-embedded.ts';
import { killGateways } from './scenarios/kill-gateways.ts';
import { killPostgres } from './scenarios/kill-postgres.ts';
import { killWorkers } from './scenarios/kill-workers.ts';
import { migrateUnderLoad } from './scenarios/migrate-under-load.ts';
import { pauseGateway } from './scenarios/pause-gateway.ts';
import { replyBadly } from './scenarios/reply-badly.ts';
import { roll, rollContract } from './scenarios/roll.ts';
import { shiftOneClock } from './scenarios/shift-clock.ts';
import { stopAllGateways } from './scenarios/stop-all-gateways.ts';
import { killBroker, pauseBroker } from './scenarios/stop-broker.ts';
import { takeOver } from './scenarios/take-over.ts';
import type { Scenario } from './support/scenario.ts';

export const scenarios: readonly Scenario[] = [
  killGateways,
  killEmbedded,
  killBroker,
  pauseBroker,
  deleteTopic,
  stopAllGateways,
  killPostgres,
  failOver,
  failOverAsync,
  breakConnections,
  poolConnections,
  killWorkers,
  replyBadly,
  pauseGateway,
  shiftOneClock,
  roll,
  rollContract,
  migrateUnderLoad,
  crossInstances,
  takeOver,
];
