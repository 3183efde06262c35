import { readFile } from 'node:fs/promises'
import { isIPv4, isIPv6 } from 'node:net'
import { join } from 'node:path'
import { parseIpv4, type Ipv4 } from '../net/ipv4.ts'
import { parseIpv6, type Ipv6 } from '../net/ipv6.ts'

/** Docker gives a managed plugin the host's own. */
const RESOLV_CONF = '/etc/resolv.conf'
/** The real servers behind the stub of systemd-resolved (systemd-resolved.service(8)), below /run. */
const RESOLVED_CONF = 'systemd/resolve/resolv.conf'
const RESOLVED_STUB = '127.0.0.53'

/**
 * The IPv4 nameservers that dockerd compares a pool with: those of resolv.conf or, when that names only
 * the stub of systemd-resolved, the ones behind it (moby libnetwork/resolvconf Path). No file: none.
 * @param run the host's /run
 */
export async function readNameservers(run: string, file = RESOLV_CONF): Promise<Ipv4[]> {
  return (await realServers(run, file)).filter((server) => isIPv4(server)).map(parseIpv4)
}

/** Those of IPv6 in the same places, without such as only one link knows (fe80::1%eth0). */
export async function readNameservers6(run: string, file = RESOLV_CONF): Promise<Ipv6[]> {
  const isLasting = (server: string): boolean => isIPv6(server) && !/^fe80:|%/i.test(server)
  return (await realServers(run, file)).filter(isLasting).map(parseIpv6)
}

async function realServers(run: string, file: string): Promise<string[]> {
  const servers = nameserversIn(await textOf(file))
  const onlyStub = servers.length === 1 && servers[0] === RESOLVED_STUB
  return onlyStub ? nameserversIn(await textOf(join(run, RESOLVED_CONF))) : servers
}

/** resolv.conf(5): the keyword at the start of a line, then one address. */
function nameserversIn(text: string): string[] {
  return [...text.matchAll(/^nameserver[ \t]+(\S+)/gm)].map(([, server = '']) => server)
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}
