/** `sluice routes`: what is served, the route that wins above those that it wins over. */
import type { Contract } from '../contract/contract.ts';
import type { TemplateSegment } from '../contract/http-template.ts';
import type { Route } from '../contract/routes.ts';
import { renderTable } from './table.ts';

const HEADINGS = ['#', 'METHOD', 'PATH', 'COMMAND', 'GRPC', 'TOPIC'];
const RANK: Readonly<Record<TemplateSegment['kind'], number>> = { literal: 0, one: 1, rest: 2 };

/** A table as text, with a line at its end. */
export function renderRoutes(contract: Contract): string {
  const routes = [...contract.routes.routes].sort(compareRoutes);
  const bound = routes.map(({ command, binding }, index) => [
    String(index + 1),
    binding.httpMethod,
    binding.template.text,
    command.name,
    `/${command.name}`,
    command.policy.topic,
  ]);
  const unbound = [...contract.commands.values()]
    .filter((command) => command.bindings.length === 0)
    .map((command) => ['-', '-', '-', command.name, `/${command.name}`, command.policy.topic]);
  return renderTable([HEADINGS, ...bound, ...unbound]);
}

/** As the router decides: at the leftmost difference a literal wins over `*`, and `*` over `**`. */
function compareRoutes(left: Route, right: Route): number {
  const a = left.binding.template.segments;
  const b = right.binding.template.segments;
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const order = compareSegments(a[index]!, b[index]!);
    if (order !== 0) return order;
  }
  return a.length - b.length || left.binding.httpMethod.localeCompare(right.binding.httpMethod);
}

function compareSegments(left: TemplateSegment, right: TemplateSegment): number {
  if (left.kind !== right.kind) return RANK[left.kind] - RANK[right.kind];
  if (left.kind !== 'literal' || right.kind !== 'literal' || left.text === right.text) return 0;
  return left.text < right.text ? -1 : 1;
}
