import type { Container } from '../../../lab/container.ts'

/** The IPv4 addresses that a name has in a container, as its resolver says. @throws OverlayError host_state where it has none */
export async function resolvedIn(container: Container, name: string): Promise<string[]> {
  const text = await container.exec('nslookup', '-type=a', name)
  const answer = text.slice(text.indexOf('Name:'))
  return [...answer.matchAll(/^Address: (\S+)$/gm)].map(([, ip]) => ip!)
}
