import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DockerHost } from '../../../lab/docker-host.ts'
import type { Lab } from '../../../lab/lab.ts'
import { eventually } from '../../support/wait.ts'

/** One attachment as "ENDPOINT_ID ADDRESS". */
type Line = string

/** Who has which address on a host, by each of the three that must agree. */
export interface EndpointRecords {
  readonly docker: readonly Line[]
  readonly journal: readonly Line[]
  readonly etcd: readonly Line[]
}

interface Inspected {
  readonly NetworkSettings: {
    readonly Networks: Record<string, { NetworkID: string; EndpointID: string; IPAddress: string }>
  }
}

interface JournalEndpoint {
  readonly id: string
  readonly address: string
}

/** The JSON files of a folder of STATE_DIR. A file that vanishes while they are read is none of them. */
export function journalFiles<T>(host: DockerHost, folder: string, stateDir = host.stateDir): T[] {
  const dir = join(stateDir, folder)
  return readdirSync(dir)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      try {
        return [JSON.parse(readFileSync(join(dir, name), 'utf8')) as T]
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
        throw error
      }
    })
}

/** All endpoints of overlay-ts's networks on a host. */
export async function endpointRecords(
  lab: Lab,
  host: DockerHost,
  stateDir = host.stateDir,
): Promise<EndpointRecords> {
  const journal = journalFiles<JournalEndpoint>(host, 'endpoints', stateDir)
  const networks = journalFiles<{ id: string; subnet: string }>(host, 'networks', stateDir)
  return {
    docker: await dockerLines(host, new Set(networks.map(({ id }) => id))),
    journal: journal.map(({ id, address }) => `${id} ${address.split('/')[0]}`).sort(),
    etcd: await etcdLines(lab, new Set(networks.map(({ subnet }) => subnet.replace('/', '-')))),
  }
}

/** Waits until all three say the same, and gives it. */
export async function agreedEndpoints(
  lab: Lab,
  host: DockerHost,
  stateDir = host.stateDir,
): Promise<readonly Line[]> {
  let agreed: readonly Line[] = []
  await eventually(
    async () => {
      const { docker, journal, etcd } = await endpointRecords(lab, host, stateDir)
      assert.deepEqual(journal, docker, `journal and Docker of host ${host.name}`)
      assert.deepEqual(etcd, journal, `etcd and journal of host ${host.name}`)
      agreed = docker
    },
    {
      what: `the endpoints of host ${host.name} to be the same everywhere`,
      timeout: 60_000,
      every: 250,
    },
  )
  return agreed
}

/** Our cables on the host's side: each endpoint has one while its container runs. */
export async function cables(host: DockerHost): Promise<number> {
  const links = await host.exec('ip', '-br', 'link', 'show', 'type', 'veth')
  return links.split('\n').filter((line) => line.startsWith('ov-h')).length
}

/** The addresses that the journal holds as given out, without gateways and reservations. */
export function addressesInUse(host: DockerHost, stateDir = host.stateDir): string[] {
  type Held = { addresses: { uses: { address: string; purpose: string }[] } | null }
  return journalFiles<Held>(host, 'subnets', stateDir)
    .flatMap(({ addresses }) => addresses?.uses ?? [])
    .filter(({ purpose }) => purpose === 'endpoint')
    .map(({ address }) => address)
    .sort()
}

async function dockerLines(host: DockerHost, networks: ReadonlySet<string>): Promise<Line[]> {
  const ids = (await host.docker('ps', '-q', '--no-trunc')).split('\n').filter(Boolean)
  if (ids.length === 0) return []
  const containers = JSON.parse(await host.docker('inspect', ...ids)) as Inspected[]
  return containers
    .flatMap(({ NetworkSettings }) => Object.values(NetworkSettings.Networks))
    .filter(({ NetworkID, EndpointID }) => networks.has(NetworkID) && EndpointID !== '')
    .map(({ EndpointID, IPAddress }) => `${EndpointID} ${IPAddress}`)
    .sort()
}

async function etcdLines(lab: Lab, subnets: ReadonlySet<string>): Promise<Line[]> {
  const text = await lab.etcdText('/overlay-ts/endpoints/')
  return text
    .split('\n')
    .filter(Boolean)
    .flatMap((line) => {
      const [key = '', value = ''] = line.split(/ (.*)/)
      const [, , , subnet = '', address] = key.split('/')
      if (!subnets.has(subnet)) return []
      const { EndpointID } = JSON.parse(value) as { EndpointID: string }
      return [`${EndpointID} ${address}`]
    })
    .sort()
}
