import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { createForm, createNetwork, FORMS } from './support/network-forms.ts'
import { assertConnected, place } from './support/placed.ts'
import { untilBridgesPublished } from './support/until-bridges-published.ts'

/** Forwarding, a subnet in etcd, and an address or a route of a unique local prefix (RFC 4193). */
const IPV6_TRACES =
  /net\/ipv6\/conf\/all\/forwarding:1|^\/overlay-ts\/subnets\/\S+&|\bfd[\da-f]{2}:/m

describe('on two Docker hosts', () => {
  let lab: Lab
  let untouched: string
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    await explainFailure(lab, async () => {
      // docker_gwbridge and its rules come with the first container and Docker keeps them.
      for (const host of lab.hosts) {
        await createNetwork(host, 'first')
        const container = await host.run('first', { network: 'first', options: ['-p', '8080:80'] })
        await container.remove()
        await host.docker('network', 'rm', 'first')
      }
      await eventually(
        async () => assert.doesNotMatch(await lab.etcdText(), /\/(subnets|overlays|endpoints)\//),
        { what: 'the first networks to be gone', timeout: 30_000 },
      )
      untouched = await settled()
    })
  })
  after(async () => {
    await lab.remove()
  })

  /** The whole state of both hosts, their state directories and etcd as one text. */
  async function everything(): Promise<string> {
    const hosts = await Promise.all(
      lab.hosts.map(async (host) => `# ${host.name}\n${await host.stateText()}`),
    )
    return [...hosts, `# etcd\n${stableRecords(await lab.etcdText())}`].join('\n\n')
  }

  /** What is published and swept up in the background is waited for; what stays fails. */
  async function assertUntouched(): Promise<void> {
    await eventually(async () => assert.equal(changes(untouched, await everything()), ''), {
      what: 'every trace to be gone',
      timeout: 30_000,
      every: 500,
    })
  }

  async function assertLeavesTraces(): Promise<string> {
    let now = ''
    await eventually(
      async () => {
        now = await everything()
        for (const part of [/^ov-b\w+ bridge/m, /^ov-h\w+ veth/m, /^\/overlay-ts\/endpoints\//m]) {
          assert.match(now, part)
        }
      },
      { what: 'the containers to be in etcd too' },
    )
    assert.notEqual(now, untouched)
    return now
  }

  for (const form of FORMS) {
    inLab(`a ${form} network with containers goes without a trace`, async () => {
      for (const host of lab.hosts) await createForm(host, form)
      const members = await Promise.all(
        lab.hosts.map((host) => host.run('member', { network: form, options: ['-p', '8080:80'] })),
      )
      const ips = await Promise.all(members.map((member) => member.ip(form)))
      await assertReaches(members[0]!, [ips[1]!], ips[0]!)
      const now = await assertLeavesTraces()
      assert.doesNotMatch(now, IPV6_TRACES, 'what only networks of IPv6 do')
      // Removed, killed and started again, stopped: the three ways in which a container goes.
      await members[0]!.remove()
      await lab.host('98').docker('kill', 'member')
      await lab.host('98').docker('start', 'member')
      await lab.host('98').docker('stop', '-t', '1', 'member')
      await lab.host('98').docker('rm', 'member')
      await onEach((host) => host.docker('network', 'rm', form))
      await assertUntouched()
    })
  }

  inLab('a container killed from outside leaves its network as it was', async () => {
    const host = lab.host('96')
    await createForm(host, 'web')
    const empty = await settled()
    const member = await host.run('member', { network: 'web' })
    assert.notEqual(await everything(), empty)
    await host.exec('kill', '-9', String(await member.pid()))
    await eventually(async () => assert.equal(changes(empty, await everything()), ''), {
      what: 'the cable and the record of a killed container to be gone',
      timeout: 30_000,
      every: 500,
    })
    await member.remove()
    await host.docker('network', 'rm', 'web')
    await assertUntouched()
  })

  /** The text of both hosts once it is the same twice: nothing is on its way any more. */
  async function settled(): Promise<string> {
    await untilBridgesPublished(lab)
    let last = ''
    await eventually(
      async () => {
        const previous = last
        last = await everything()
        assert.equal(last, previous)
      },
      { what: 'both hosts to come to rest', timeout: 30_000, every: 500 },
    )
    return last
  }

  inLab('commands that fail leave nothing', async () => {
    const host = lab.host('96')
    const ours = argv`network create -d overlay-ts`
    for (const words of [
      argv`${ours} -o mtu=9000 fails`,
      argv`${ours} -o gateway=nat fails`,
      argv`${ours} --ipv6 --subnet fd00:1::/64 --subnet fd00:2::/64 fails`,
      argv`${ours} --ipam-driver overlay-ts --ipv6 --subnet fd00:1::/120 fails`,
      argv`${ours} --subnet 172.18.10.0/24 fails`,
      argv`${ours} --ipam-driver overlay-ts --ipam-opt overlay=fails -o mtu=9000 fails`,
      argv`${ours} --ipam-driver overlay-ts --ipam-opt overlay=fails -o overlay=other fails`,
      argv`${ours} --ipam-driver overlay-ts --ipam-opt overlay=fails --gateway 192.0.2.1 fails`,
      argv`${ours} --ipam-driver overlay-ts --subnet 10.40.0.0/16 --ip-range 10.41.0.0/24 fails`,
      argv`${ours} --ipam-driver overlay-ts --subnet 10.40.0.0/16 -o mtu=9000 fails`,
      argv`${ours} --ipam-driver null -o overlay=n -o mtu=9000 fails`,
    ]) {
      await assert.rejects(host.docker(...words), words.join(' '))
      await assertUntouched()
    }
  })

  inLab('a container that cannot start leaves nothing but its network', async () => {
    const host = lab.host('96')
    await createForm(host, 'web')
    const empty = await settled()
    await assert.rejects(host.run('no', { network: 'web', command: ['/no/such/program'] }))
    await host.docker('rm', 'no')
    await assert.rejects(host.run('no', { network: 'web', options: argv`--ip 10.255.0.1` }))
    await host.docker('rm', 'no')
    await eventually(async () => assert.equal(changes(empty, await everything()), ''), {
      what: 'the traces of what did not start to be gone',
      timeout: 30_000,
      every: 500,
    })
    await host.docker('network', 'rm', 'web')
    await assertUntouched()
  })

  inLab('networks of both families leave nothing but hosts that forward IPv6', async () => {
    const pooled = argv`--ipv6 --ipam-driver overlay-ts --ipam-opt overlay=six`
    const comeAndGo = async (): Promise<void> => {
      for (const host of lab.hosts) {
        await createNetwork(host, 'six', pooled)
        const subnets = argv`--subnet 172.30.${host.name}.0/24 --subnet fd00:30:0:${host.name}::/64`
        await createNetwork(host, 'plain-six', ['--ipv6', ...subnets])
      }
      for (const name of ['six', 'plain-six']) {
        const members = await Promise.all(lab.hosts.map((host) => place(host, name)))
        await assertConnected(members)
        assert.match(await assertLeavesTraces(), IPV6_TRACES)
        await Promise.all(members.map(({ container }) => container.remove()))
        await onEach((host) => host.docker('network', 'rm', name))
      }
    }
    await comeAndGo()
    await eventually(
      async () => {
        const left = await everything()
        for (const line of changes(untouched, left).split('\n')) {
          assert.match(line, /^[-+] net\/ipv6\/conf\/\w+\/(forwarding|accept_ra):[012]$/)
        }
      },
      { what: 'nothing else to be left', every: 500 },
    )
    untouched = await settled()
    await comeAndGo()
    await assertUntouched()
  })

  async function onEach(body: (host: DockerHost) => Promise<unknown>): Promise<void> {
    await Promise.all(lab.hosts.map(body))
  }
})

/** The lines that went and came, or the texts' own difference where only the order is another. */
function changes(before: string, now: string): string {
  const [old, fresh] = [before.split('\n'), now.split('\n')]
  const gone = old.filter((line) => !fresh.includes(line)).map((line) => `- ${line}`)
  const come = fresh.filter((line) => !old.includes(line)).map((line) => `+ ${line}`)
  const lines = [...gone, ...come].join('\n')
  return lines === '' && before !== now ? `another order or number of lines:\n${now}` : lines
}

/** Without what is rewritten all the time: who allocated last, and the instance of each host. */
function stableRecords(text: string): string {
  return text
    .split('\n')
    .map((line) => line.replace(/^(\S+\/(?:allocator|hosts\/\S+)) .*/, '$1'))
    .join('\n')
}
