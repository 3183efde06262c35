import type { Container } from '../../../lab/container.ts'

/** Runs shell lines in a container's network, with the programs and the rights of its host. @throws OverlayError host_state */
export async function inside(container: Container, lines: readonly string[]): Promise<string> {
  const pid = String(await container.pid())
  return container.host.exec('nsenter', '-t', pid, '-n', 'sh', '-ec', lines.join('\n'))
}
