import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import type { Lab } from '../../lab/lab.ts'
import { waitFor } from '../../test/support/wait.ts'
import type { Place } from '../place.ts'
import { containerPlace } from './container-place.ts'
import { fakeSubnets, type FakeSubnet } from './fake-subnets.ts'
import { removeGatewayNetwork } from './gateway-network.ts'
import type { Candidate } from './subject.ts'

const NETWORK = 'bench'
const CONTAINER = 'measured'
const MTU = 1450
/** ETCD_PREFIX, unless set. */
const PREFIX = '/overlay-ts'
/** Contains all fake subnets. */
const FAKE_POOL = '100.64.0.0/10'
const FAKE_PREFIX = '100.'
/** What etcd takes in one transaction, unless told. */
const TRANSACTION = 128

/** Real containers on one pooled overlay, with the settings that the README gives. */
export const overlayTs: Candidate = {
  name: 'overlay-ts',
  kind: 'ours',
  about: 'containers on a pooled overlay, settings as they come, MTU 1450',
  version: async () => {
    const manifest = join(import.meta.dirname, '..', '..', 'package.json')
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
    return version
  },
  async place({ lab, hosts }) {
    const [client, server] = await Promise.all(hosts.map(container))
    return {
      client: client!,
      server: server!,
      fill: async (count) => {
        await publish(lab, fakeSubnets(count))
        for (const host of hosts) await waitFor(() => knows(host, count), knowing(host))
      },
      processes: ({ plugin }) => (plugin.pid === undefined ? [] : [plugin.pid]),
      async remove() {
        await lab.etcd.ctl('del', '--prefix', `${PREFIX}/subnets/${FAKE_PREFIX}`)
        for (const host of hosts) {
          await host.container(CONTAINER).remove()
          await host.docker('network', 'rm', NETWORK)
          await removeGatewayNetwork(host)
        }
      },
    }
  },
}

async function container(host: DockerHost): Promise<Place> {
  const ipam = argv`--ipam-driver overlay-ts --ipam-opt overlay=${NETWORK}`
  await host.docker('network', 'create', '-d', 'overlay-ts', ...ipam, NETWORK)
  return containerPlace(await host.run(CONTAINER, { network: NETWORK }), NETWORK)
}

/**
 * Leases of hosts that do not exist, in the pool of an overlay as large as they need. Written as etcdctl
 * reads a transaction: comparisons, an empty line, what to do, an empty line, what else to do.
 */
async function publish(lab: Lab, subnets: readonly FakeSubnet[]): Promise<void> {
  const overlay = JSON.parse(
    await lab.etcd.ctl('get', '--print-value-only', `${PREFIX}/overlays/${NETWORK}`),
  ) as { VNI: number }
  for (let at = 0; at < subnets.length; at += TRANSACTION) {
    const puts = subnets.slice(at, at + TRANSACTION).map(({ subnet, mac, publicIp }) => {
      const value = {
        PublicIP: publicIp,
        PublicIPv6: null,
        BackendType: 'vxlan',
        BackendData: { VNI: overlay.VNI, VtepMAC: mac },
        HostID: `bench-${subnet}`,
        Overlay: NETWORK,
        Kind: 'pooled',
        Pool: FAKE_POOL,
        MTU,
      }
      return `put ${PREFIX}/subnets/${subnet}.0-24 ${JSON.stringify(JSON.stringify(value))}`
    })
    await lab.etcd.machine.exec(['env', 'ETCDCTL_API=3', 'etcdctl', 'txn'], {
      input: `\n${puts.join('\n')}\n\n\n`,
    })
  }
}

/** Whether a host's map has so many subnets of others. */
async function knows(host: DockerHost, count: number): Promise<boolean> {
  const { subnets } = JSON.parse(await host.admin('/v1/state')) as { subnets: unknown[] }
  return subnets.length >= count
}

const knowing = (host: DockerHost) => ({
  what: `host ${host.name} to know all subnets`,
  timeout: 120_000,
  every: 500,
})
