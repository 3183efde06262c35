import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { messageOf } from '../../src/errors.ts'
import { overlaps, parseCidr } from '../../src/net/cidr.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { inside } from './support/inside.ts'
import { createNetwork, createRepeating } from './support/network-forms.ts'
import { refusalOf } from './support/refusal-of.ts'
import { subnetOf } from './support/subnet-of.ts'

const ROUNDS = 3

describe('the plain command on three Docker hosts', () => {
  let lab: Lab
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98', '99'], plugin: 'before docker' })
    // As Docker Compose does before anybody thinks of overlays.
    await Promise.all(lab.hosts.map((host) => host.docker('network', 'create', 'shop_default')))
  })
  after(async () => {
    await lab.remove()
  })

  const subnets = (network: string, hosts = lab.hosts): Promise<string[]> =>
    Promise.all(hosts.map(async (host) => (await subnetOf(lab, host, network)).leased))

  inLab('works on each after the other, while containers run already', async () => {
    const [a, b, c] = lab.hosts as [DockerHost, DockerHost, DockerHost]
    await createNetwork(a, 'app')
    const onA = await a.run('on-a', { network: 'app' })
    await createNetwork(b, 'app')
    const onB = await b.run('on-b', { network: 'app' })
    const [ipA, ipB] = [await onA.ip(), await onB.ip()]
    await assertReaches(onA, [ipB], ipA)
    await assertReaches(onB, [ipA], ipB)

    await createNetwork(c, 'app')
    const onC = await c.run('on-c', { network: 'app' })
    const ipC = await onC.ip()
    await assertReaches(onA, [ipB, ipC], ipA)
    await assertReaches(onB, [ipA, ipC], ipB)
    await assertReaches(onC, [ipA, ipB], ipC)
  })

  inLab('gives every host a subnet of its own, beside the private bridges of all', async () => {
    await Promise.all(lab.hosts.map((host) => host.docker('network', 'create', 'late_default')))
    const overlays = await subnets('app')
    const local = await Promise.all(
      ['shop_default', 'late_default', 'bridge'].flatMap((network) =>
        lab.hosts.map((host) => dockerSubnet(host, network)),
      ),
    )
    assertDisjoint(overlays)
    for (const overlay of overlays) {
      for (const other of local) {
        assert.ok(!overlaps(parseCidr(overlay), parseCidr(other)), `${overlay} and ${other}`)
      }
    }
  })

  inLab('keeps the routes in running containers in step', async () => {
    const [a, b, c] = lab.hosts as [DockerHost, DockerHost, DockerHost]
    const [ofA, ofB, ofC] = (await subnets('app')) as [string, string, string]
    await assertRoutes(a, 'on-a', [ofB, ofC])
    await assertRoutes(b, 'on-b', [ofA, ofC])
    await c.container('on-c').remove()
    await c.docker('network', 'rm', 'app')
    await assertRoutes(a, 'on-a', [ofB])
    await assertRoutes(b, 'on-b', [ofA])
    await assertReaches(
      a.container('on-a'),
      [await b.container('on-b').ip()],
      await a.container('on-a').ip(),
    )
  })

  async function assertRoutes(host: DockerHost, name: string, wanted: string[]): Promise<void> {
    await eventually(
      async () => {
        const routes = await inside(host.container(name), ['ip route show'])
        const found = [...routes.matchAll(/^(\S+) via \S+ dev eth0/gm)].map(([, to]) => to!)
        assert.deepEqual(found.toSorted(), wanted.toSorted())
      },
      { what: `the routes of ${name}`, timeout: 30_000 },
    )
  }

  inLab('run at one moment on all ends with subnets that differ, or says what to run', async () => {
    let refusals = 0
    for (let round = 0; round < ROUNDS; round++) {
      const name = `race-${round}`
      const results = await Promise.allSettled(lab.hosts.map((host) => createNetwork(host, name)))
      for (const [at, result] of results.entries()) {
        if (result.status === 'fulfilled') continue
        refusals++
        const sentence = messageOf(result.reason)
        assert.match(
          sentence,
          /\S+, which Docker or --subnet chose, overlaps .*; without --subnet run the same command again/,
        )
        await createRepeating(lab.hosts[at]!, name)
      }
      assertDisjoint(await subnets(name))
    }
    console.log(`${refusals} of ${ROUNDS * lab.hosts.length} were refused and repeated`)
    // The networks work: the last of them carries traffic between all.
    const last = `race-${ROUNDS - 1}`
    const members = await Promise.all(lab.hosts.map((host) => host.run('racer', { network: last })))
    const ips = await Promise.all(members.map((member) => member.ip()))
    await Promise.all(
      members.map((member, at) => assertReaches(member, ips.toSpliced(at, 1), ips[at]!)),
    )
    await Promise.all(members.map((member) => member.remove()))
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(lab.hosts.map((host) => host.docker('network', 'rm', `race-${round}`)))
    }
  })

  inLab('run at one moment is refused with a second command that works too', async () => {
    const [a, b] = lab.hosts as [DockerHost, DockerHost]
    await createNetwork(a, 'claimed')
    const { leased } = await subnetOf(lab, a, 'claimed')
    const refusal = await refusalOf(createNetwork(b, 'claimed', argv`--subnet ${leased}`))
    assert.match(refusal, /overlaps host host-96/)
    await b.docker(...commandIn(refusal, 'claimed'))
    const onA = await a.run('claims', { network: 'claimed' })
    const onB = await b.run('claims', { network: 'claimed' })
    await assertReaches(onA, [await onB.ip()], await onA.ip())
    await assertReaches(onB, [await onA.ip()], await onB.ip())
    await Promise.all([onA.remove(), onB.remove()])
    await Promise.all([a, b].map((host) => host.docker('network', 'rm', 'claimed')))
  })

  inLab('names the command that joins an overlay with a pool', async () => {
    const [a, b] = lab.hosts as [DockerHost, DockerHost]
    await createNetwork(a, 'pooled', argv`--ipam-driver overlay-ts --ipam-opt overlay=pooled`)
    // Docker tells a network's name only after it was made, so its first container is refused.
    await createNetwork(b, 'pooled')
    const refusal = await refusalOf(b.run('refused', { network: 'pooled' }))
    assert.match(refusal, /overlay pooled is pooled \(\S+\)/)
    await b.docker('rm', 'refused')
    await b.docker('network', 'rm', 'pooled')
    await b.docker(...commandIn(refusal))
    await assertJoined([a, b], 'pooled')

    // Said already at creation where the overlay is named.
    await b.docker('network', 'rm', 'pooled')
    const atOnce = await refusalOf(createNetwork(b, 'pooled', argv`-o overlay=pooled`))
    await b.docker(...commandIn(atOnce))
    await assertJoined([a, b], 'pooled')
    await Promise.all([a, b].map((host) => host.docker('network', 'rm', 'pooled')))
  })

  inLab('names the command that joins an overlay without a pool', async () => {
    const [a, b] = lab.hosts as [DockerHost, DockerHost]
    await createNetwork(a, 'plain')
    // Docker tells a network's name only after it was made, and until then its overlay is anybody's to make.
    await eventually(
      async () =>
        assert.match(
          await lab.etcdText('/overlay-ts/overlays/'),
          /^\/overlay-ts\/overlays\/plain /m,
        ),
      { what: 'the overlay of the first network' },
    )
    const words = argv`--ipam-driver overlay-ts --ipam-opt overlay=plain`
    const refusal = await refusalOf(createNetwork(b, 'plain', words))
    assert.match(refusal, /overlay plain is routed/)
    await b.docker(...commandIn(refusal))
    await assertJoined([a, b], 'plain')

    await b.docker('network', 'rm', 'plain')
    await createNetwork(b, 'plain', argv`--ipam-driver overlay-ts --subnet 10.99.0.0/16`)
    const later = await refusalOf(b.run('refused', { network: 'plain' }))
    await b.docker('rm', 'refused')
    await b.docker('network', 'rm', 'plain')
    await b.docker(...commandIn(later))
    await assertJoined([a, b], 'plain')
    await Promise.all([a, b].map((host) => host.docker('network', 'rm', 'plain')))
  })

  async function assertJoined(hosts: readonly DockerHost[], network: string): Promise<void> {
    const members = await Promise.all(hosts.map((host) => host.run('member', { network })))
    const ips = await Promise.all(members.map((member) => member.ip()))
    await Promise.all(
      members.map((member, at) => assertReaches(member, ips.toSpliced(at, 1), ips[at]!)),
    )
    await Promise.all(members.map((member) => member.remove()))
  }

  inLab('needs the overlay named where Docker cannot be asked for names', async () => {
    const [a, b] = lab.hosts as [DockerHost, DockerHost]
    await b.stopPlugin()
    await b.startPlugin({ env: { DOCKER_HOST: 'unix:///run/nowhere.sock' } })
    await createNetwork(a, 'blind')
    const refusal = await refusalOf(createNetwork(b, 'blind'))
    assert.match(refusal, /cannot learn this network's name.*DOCKER_HOST/)
    await b.docker(...commandIn(refusal, 'blind'))
    await assertJoined([a, b], 'blind')
    await Promise.all([a, b].map((host) => host.docker('network', 'rm', 'blind')))
    await b.stopPlugin()
    await b.startPlugin()
  })
})

async function dockerSubnet(host: DockerHost, network: string): Promise<string> {
  return host.docker('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', network)
}

function assertDisjoint(prefixes: readonly string[]): void {
  prefixes.forEach((one, at) => {
    for (const other of prefixes.slice(at + 1)) {
      assert.ok(!overlaps(parseCidr(one), parseCidr(other)), prefixes.join(', '))
    }
  })
}

/** The command that a refusal ends with, word for word; NAME stands for the network's. */
function commandIn(refusal: string, name?: string): string[] {
  const found = /: docker (network create [^,.\n]*)/.exec(refusal)?.[1]
  assert.ok(found, `no command in: ${refusal}`)
  const words = found.trim().split(' ')
  return words.map((word) => (name === undefined ? word : word.replaceAll('NAME', name)))
}
