import { it } from 'vitest';
import { crossInstances } from './scenarios/cross-instances.ts';
import { killGateways } from './scenarios/kill-gateways.ts';
import { pauseGateway } from './scenarios/pause-gateway.ts';
import { roll, rollContract } from './scenarios/roll.ts';
import { shiftOneClock } from './scenarios/shift-clock.ts';
import { stopAllGateways } from './scenarios/stop-all-gateways.ts';
import { takeOver } from './scenarios/take-over.ts';
import { describeFaults } from './support/describe-faults.ts';

describeFaults('what gateways promised', (putOn) => {
  it('survives kill -9 of one of three under load', (context) => putOn(killGateways, context));
  it('is seen at another instance, each reply settled once', (context) => putOn(crossInstances, context));
  it('is taken over from a killed instance', (context) => putOn(takeOver, context));
  it('is not settled by the old owner after a pause beyond its lease', (context) => putOn(pauseGateway, context));
  it('survives a time in which all are down beyond deadlines', (context) => putOn(stopAllGateways, context));
  it('does not depend on the clock of an instance', (context) => putOn(shiftOneClock, context));
  it('survives a rolling restart, and no caller is left in doubt', (context) => putOn(roll, context));
  it('survives a rolling restart onto another contract', (context) => putOn(rollContract, context));
});
