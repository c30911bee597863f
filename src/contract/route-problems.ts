import type { Command } from './command.ts';
import { locateMethod } from './command-reader.ts';
import type { HttpBinding } from './http-rule.ts';
import type { Problem } from './problems.ts';
import type { Router } from './routes.ts';

/** Adds all routes. @returns what is in the way of one: another route, or Sluice's own. */
export function findRouteProblems(
  router: Router,
  commands: readonly Command[],
  ownRoutes: readonly string[],
  ownFiles: ReadonlyMap<string, string>,
): Problem[] {
  const problems: Problem[] = [];
  for (const command of commands) {
    const place = { ...locateMethod(command.descriptor, ownFiles), method: command.name, option: 'google.api.http' };
    for (const binding of command.bindings) {
      const other = router.add({ command, binding });
      const shown = `${binding.httpMethod} ${binding.template.text}`;
      if (other) {
        const theirs = `${other.binding.httpMethod} ${other.binding.template.text}`;
        const { file, line } = locateMethod(other.command.descriptor, ownFiles);
        const where = line === undefined ? '' : ` (${file}:${line})`;
        problems.push({
          ...place,
          message: `"${shown}" has the method and shape of "${theirs}" of ${other.command.name}${where}, expected routes that differ`,
        });
      }
      const own = ownRoutes.find((route) => collides(binding, route));
      if (own)
        problems.push({
          ...place,
          message: `"${shown}" collides with Sluice's own ${own}, expected another path or a BASE_PATH`,
        });
    }
  }
  return problems;
}

/**
 * Whether a template is an own route or below one. What matches it by `*` alone does not collide: Sluice's routes are
 * more literal and win.
 */
function collides(binding: HttpBinding, ownRoute: string): boolean {
  const own = ownRoute.split('/').slice(1);
  const { segments } = binding.template;
  return own.every((text, index) => {
    const segment = segments[index];
    return segment?.kind === 'literal' && segment.text === text;
  });
}
