import { ChannelSetupError } from './channel.ts';

/** Names of the topics that belong to Sluice, with the namespace. */
export interface OwnTopics {
  readonly replyTopic: string;
  readonly deadLetterTopic: string;
  readonly controlTopic: string;
  /** Null where lifecycle events are not sent. */
  readonly eventsTopic: string | null;
}

export interface OwnTopic {
  readonly topic: string;
  readonly carries: 'dead letters' | 'cancellations' | 'lifecycle events';
}

/** All but the reply topic, without which nothing works. */
export function listOwnTopics(topics: OwnTopics): readonly OwnTopic[] {
  const list: OwnTopic[] = [
    { topic: topics.deadLetterTopic, carries: 'dead letters' },
    { topic: topics.controlTopic, carries: 'cancellations' },
  ];
  if (topics.eventsTopic !== null) list.push({ topic: topics.eventsTopic, carries: 'lifecycle events' });
  return list;
}

/** Throws `ChannelSetupError` where one topic would have to carry records of two kinds. */
export function assertTopicsDiffer(topics: OwnTopics, commandTopics: readonly string[]): void {
  const problems = findSharedTopics(topics, commandTopics);
  if (problems.length > 0) throw new ChannelSetupError(problems);
}

/** A line for each topic that would have to carry records of two kinds. */
export function findSharedTopics(topics: OwnTopics, commandTopics: readonly string[]): readonly string[] {
  const uses = [{ topic: topics.replyTopic, carries: 'replies' }, ...listOwnTopics(topics)];
  const problems: string[] = [];
  uses.forEach(({ topic, carries }, index) => {
    if (commandTopics.includes(topic))
      problems.push(`topic ${topic}: carries ${carries} and cannot carry commands too`);
    const earlier = uses.slice(0, index).find((each) => each.topic === topic);
    if (earlier) problems.push(`topic ${topic}: carries ${earlier.carries} and cannot carry ${carries} too`);
  });
  return problems;
}
