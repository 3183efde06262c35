import { SETTINGS } from '../plugin/settings.ts'
import { OverlayError } from '../src/errors.ts'
import { compareCidr, formatCidr } from '../src/net/cidr.ts'
import { formatIpv4 } from '../src/net/ipv4.ts'
import { formatIp } from '../src/net/ipv6.ts'
import type { ClusterView } from '../src/store/cluster-view.ts'
import { createKeyspace } from '../src/store/keyspace.ts'
import { parseView } from '../src/store/parse-view.ts'
import type { Notes } from './demo-steps.ts'
import type { EtcdHost } from './etcd-host.ts'
import { textTable } from './text-table.ts'

const PREFIX = SETTINGS.ETCD_PREFIX.fallback

/** The subnet-to-host map, read for people and as etcd holds it. @throws OverlayError when it has fewer subnets than told */
export async function showMap(etcd: EtcdHost, subnets: number, notes: Notes): Promise<void> {
  const view = await viewOf(etcd)
  if (view.subnets.size < subnets || view.problems.length > 0) {
    throw new OverlayError(
      'host_state',
      `etcd holds ${view.subnets.size} subnets of ${subnets}; unreadable: ${JSON.stringify(view.problems)}`,
    )
  }
  const leases = [...view.subnets.values()].sort((a, b) => compareCidr(a.subnet, b.subnet))
  const heading = ['subnet', 'overlay', 'VNI', 'host', '', 'VTEP MAC', 'containers']
  const rows = leases.map((lease) => [
    formatCidr(lease.subnet),
    lease.overlay ?? '',
    String(lease.vni),
    view.hosts.get(lease.hostId ?? '')?.hostname ?? '',
    formatIp(lease.publicIp),
    lease.vtepMac,
    view.endpoints
      .filter((endpoint) => formatCidr(endpoint.subnet) === formatCidr(lease.subnet))
      .map((endpoint) => formatIpv4(endpoint.ip))
      .join(' '),
  ])
  notes.lines(...textTable([heading, ...rows]))
  for (const part of ['overlays', 'subnets']) {
    const words = ['get', '--prefix', `${PREFIX}/${part}`]
    notes.command('etcd', `etcdctl ${words.join(' ')}`)
    notes.lines(...(await etcd.ctl(...words)).split('\n'))
  }
}

async function viewOf(etcd: EtcdHost): Promise<ClusterView> {
  const lines = (await etcd.text(PREFIX)).split('\n').filter(Boolean)
  const entries = lines.map((line) => {
    const space = line.indexOf(' ')
    const [key, value] = [line.slice(0, space), line.slice(space + 1)]
    return { key, value, createRevision: '1', modRevision: '1', lease: null }
  })
  return parseView(createKeyspace(PREFIX), {
    revision: '1',
    entries: new Map(entries.map((entry) => [entry.key, entry])),
  })
}
