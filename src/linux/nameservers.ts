import { readFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import { parseIpv4, type Ipv4 } from '../net/ipv4.ts'

export const RESOLV_CONF = '/etc/resolv.conf'
/** The real servers behind the stub of systemd-resolved (systemd-resolved.service(8)). */
const RESOLVED_CONF = '/run/systemd/resolve/resolv.conf'
const RESOLVED_STUB = '127.0.0.53'

/**
 * The IPv4 nameservers that dockerd compares a pool with: those of resolv.conf or, when that names only
 * the stub of systemd-resolved, the ones behind it (moby libnetwork/resolvconf Path). No file: none.
 */
export async function readNameservers(
  file = RESOLV_CONF,
  behindStub = RESOLVED_CONF,
): Promise<Ipv4[]> {
  const servers = nameserversIn(await textOf(file))
  const onlyStub = servers.length === 1 && servers[0] === RESOLVED_STUB
  const real = onlyStub ? nameserversIn(await textOf(behindStub)) : servers
  return real.filter((server) => isIPv4(server)).map(parseIpv4)
}

/** resolv.conf(5): the keyword at the start of a line, then one address. */
function nameserversIn(text: string): string[] {
  return [...text.matchAll(/^nameserver[ \t]+(\S+)/gm)].map(([, server = '']) => server)
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}
