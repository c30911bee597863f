import { describe, expect, test } from 'vitest';
import { readKafkaEnvironment } from '../src/kafka-environment.ts';

describe('the environment', () => {
  test('gives brokers, namespace, TLS and SASL', () => {
    const environment = {
      KAFKA_BROKERS: 'a:9092, b:9092',
      KAFKA_NAMESPACE: 'demo',
      KAFKA_SSL: 'true',
      KAFKA_SASL_MECHANISM: 'SCRAM-SHA-256',
      KAFKA_SASL_USERNAME: 'ann',
      KAFKA_SASL_PASSWORD: 'secret',
    };
    expect(readKafkaEnvironment(environment)).toEqual({
      kafka: {
        brokers: ['a:9092', 'b:9092'],
        ssl: true,
        sasl: { mechanism: 'scram-sha-256', username: 'ann', password: 'secret' },
      },
      namespace: 'demo',
    });
  });

  test.each([
    [{}, 'KAFKA_BROKERS: expected host:port'],
    [{ KAFKA_BROKERS: 'here' }, 'KAFKA_BROKERS: expected host:port, got "here"'],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_SSL: 'yes' }, 'KAFKA_SSL: expected true or false'],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_SASL_MECHANISM: 'magic' }, 'KAFKA_SASL_MECHANISM: expected plain'],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_SASL_MECHANISM: 'plain' }, 'KAFKA_SASL_USERNAME: expected'],
  ])('names what is wrong: %o', (environment, message) => {
    expect(() => readKafkaEnvironment(environment)).toThrow(message);
  });
});
