import type { MethodDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { DescService } from '../../contract/command.ts';
import { defineMethod, type Registration } from './commands.ts';

export type OwnRegistration = Registration;

/** One of Sluice's own services. Methods without a handler answer UNIMPLEMENTED. */
export function registerOwn(service: DescService, implementation: UntypedServiceImplementation): OwnRegistration {
  const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
  for (const method of service.methods) {
    definition[method.name] = defineMethod(`/${service.typeName}/${method.name}`, {
      requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    });
  }
  return { definition, implementation };
}
