import { Failure } from '../runtime/failure.ts';

/** Anything but a `Failure` is a defect of ours; its message may hold anything and stays in the log. */
export function toFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure('INTERNAL', 'something went wrong in the gateway; the log has the request id', {
    delivery: 'unknown',
    cause: error,
  });
}
