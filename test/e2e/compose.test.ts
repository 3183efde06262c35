/** The examples and the sentences of docs/compose.md, with Debian's docker-compose on two Docker hosts. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { DockerHost } from '../../lab/docker-host.ts'
import { IMAGE } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { readDocument, tableUnder } from '../support/markdown.ts'
import { ROOT } from '../support/source-file.ts'
import { eventually } from '../support/wait.ts'
import { compose, writeProject } from './support/compose.ts'
import { refusalOf } from './support/refusal-of.ts'

const BOOK = join(ROOT, 'examples', 'guest-book')
const READER = join(ROOT, 'examples', 'guest-book-reader')
const DB_IP = '10.50.98.10'
/** The network section of the example, for projects of the test's own. */
const GUESTS = {
  name: 'guests',
  driver: 'overlay-ts',
  driver_opts: { mtu: '1400' },
  ipam: { driver: 'overlay-ts', options: { overlay: 'guests' } },
}

describe('Compose on two Docker hosts', { concurrency: false }, () => {
  let lab: Lab
  /** Where the web service runs, and where its database does. */
  let front: DockerHost
  let back: DockerHost
  /** What Compose said when it refused. */
  const refusals: string[] = []
  let visits = 0
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    ;[front, back] = [lab.host('96'), lab.host('98')]
  })
  after(async () => {
    await lab.remove()
  })

  inLab('a web service and its database come up on two hosts', async () => {
    await Promise.all([on(back, BOOK, 'up -d db'), on(front, BOOK, 'up -d web')])
    await visit()
    const [row] = (await rows()).split('\n')
    // The database saw the web service's own address, and that one the visitor's.
    assert.equal(row, `${(await webAddresses())[0]} ${back.ip}`)
    // The file's driver_opts.
    for (const [host, service] of [
      [front, 'web'],
      [back, 'db'],
    ] as const) {
      const mtu = await on(host, BOOK, `exec -T ${service} cat /sys/class/net/eth0/mtu`)
      assert.equal(mtu, '1400', service)
    }
  })

  inLab('an alias and the name of a service are known on their host', async () => {
    for (const name of ['database', 'db']) {
      const words = ['run', '--rm', '--network', 'guests', IMAGE]
      const said = await back.docker(
        ...words,
        'wget',
        '-q',
        '-O',
        '-',
        `http://${name}/cgi-bin/rows`,
      )
      assert.equal(said, await rows())
    }
  })

  inLab('both services are restarted, the database at its address and with its rows', async () => {
    await on(back, BOOK, 'restart -t 1 db')
    await visit()
    await on(front, BOOK, 'restart -t 1 web')
    await visit()
    assert.equal((await rows()).split('\n').length, visits)
  })

  inLab('a service is scaled up and down, each with an address of its own', async () => {
    await on(front, BOOK, 'scale web=3')
    const ips = await webAddresses()
    assert.equal(new Set(ips).size, 3)
    for (const ip of ips) assert.match(ip, /^10\.50\.96\./)
    for (const index of [1, 2, 3]) await visit(index)
    await on(front, BOOK, 'scale web=1')
    assert.equal((await webAddresses()).length, 1)
    await visit()
  })

  inLab('a service with a fixed address is there once', async () => {
    await refused(on(back, BOOK, 'up -d --scale db=2 db'), /10\.50\.98\.10 .*in use by a container/)
    await on(back, BOOK, 'up -d db')
    await visit()
  })

  inLab('a fixed address is refused on a host that has another subnet', async () => {
    await refused(
      on(front, BOOK, 'up -d db'),
      /Invalid address 10\.50\.98\.10: It does not belong to any of this network's subnets/,
    )
    await on(front, BOOK, 'rm -s -f db')
  })

  inLab('other projects use the same network, by its name or as an external one', async () => {
    for (const host of [front, back]) {
      assert.equal(await on(host, READER, 'run --rm reader'), await rows())
    }
    const external = writeProject(front, 'external', {
      services: {
        reader: { image: IMAGE, command: ['tail', '-f', '/dev/null'], networks: ['guests'] },
      },
      networks: { guests: { external: true, name: 'guests' } },
    })
    await on(front, external, 'up -d')
    const ask = `exec -T reader wget -q -O - http://${DB_IP}/cgi-bin/rows`
    assert.equal(await on(front, external, ask), await rows())

    // The network stays for as long as somebody is in it, and `down` of an external one leaves it.
    await refused(on(front, BOOK, 'down -t 1'), /has active endpoints/)
    assert.equal(await on(front, external, ask), await rows())
    await on(front, external, 'down -t 1')
    await front.docker('network', 'inspect', 'guests')
  })

  inLab('a change of the network is not made under the containers in it', async () => {
    const changed = writeProject(front, 'changed', {
      services: { reader: { image: IMAGE, networks: ['guests'] } },
      networks: { guests: { ...GUESTS, driver_opts: { mtu: '1300' } } },
    })
    await refused(on(front, changed, 'up -d'), /needs to be recreated - option "mtu" has changed/)
  })

  inLab('down gives the subnets back, and up takes them again with the data kept', async () => {
    await Promise.all([on(front, BOOK, 'down -t 1'), on(back, BOOK, 'down -t 1')])
    await eventually(async () => assert.equal(await lab.etcdText('/overlay-ts/subnets/'), ''), {
      what: 'the subnets to be given back',
    })
    await Promise.all([on(back, BOOK, 'up -d db'), on(front, BOOK, 'up -d web')])
    await visit()
  })

  inLab('what cannot be is refused with a sentence that tells what to do', async () => {
    await on(front, BOOK, 'down -t 1')
    await refused(
      compose(front, BOOK, { words: 'up -d web', env: { HOST_SUBNET: '10.50.98.0/24' } }),
      /--ip-range 10\.50\.98\.0\/24 cannot be this host's subnet: it is held by .*host-98/,
    )
    await refused(
      compose(front, BOOK, { words: 'up -d web' }),
      /HOST_SUBNET=10\.50\.98\.0\/24 into \.env/,
    )
    const networks = { guests: { external: true, name: 'guests' } }
    const service = { image: IMAGE, networks: ['guests'] }
    const missing = writeProject(front, 'missing', { services: { reader: service }, networks })
    await refused(
      on(front, missing, 'up -d'),
      /guests declared as external, but could not be found/,
    )
    const fixed = writeProject(front, 'fixed', {
      services: { reader: { image: IMAGE, networks: { guests: { ipv4_address: '10.50.96.9' } } } },
      networks: { guests: GUESTS },
    })
    await refused(
      on(front, fixed, 'up -d'),
      /only when connecting to networks with user configured/,
    )
    await on(front, fixed, 'down -t 1')
    const clash = writeProject(front, 'clash', {
      services: { reader: service },
      networks: {
        guests: { ...GUESTS, ipam: { ...GUESTS.ipam, config: [{ subnet: '10.60.0.0/16' }] } },
      },
    })
    await refused(on(front, clash, 'up -d'), /overlay guests has the pool 10\.50\.0\.0\/16, not/)
  })

  test('docs/compose.md quotes what was said, and nothing else', () => {
    const table = tableUnder(readDocument('docs/compose.md'), '## When Compose refuses')
    const unheard = table
      .map(([quotation]) => quotation!.replaceAll('`', ''))
      .filter((quotation) => !refusals.some((said) => quotes(quotation, said)))
    assert.deepEqual(unheard, [])
    assert.equal(table.length, refusals.length)
  })

  const on = (host: DockerHost, folder: string, words: string): Promise<string> =>
    compose(host, folder, { words, env: { HOST_SUBNET: `10.50.${host.name}.0/24` } })

  async function refused(attempt: Promise<unknown>, why: RegExp): Promise<string> {
    const said = await refusalOf(attempt)
    assert.match(said, why)
    refusals.push(said)
    return said
  }

  /** From the other host, by the published port, once web service and database serve: each question of the former is counted. */
  async function visit(index = 1): Promise<void> {
    const published = await on(front, BOOK, `port --index=${index} web 80`)
    const url = `http://${front.ip}:${published.split(':')[1]}/`
    const web = front.container(`guest-book_web_${index}`)
    await eventually(
      async () => {
        await back.exec('curl', '-sS', '-m', '10', '-o', '/dev/null', `${url}none`)
        await web.exec('wget', '-q', '-O', '-', 'http://db/cgi-bin/rows')
      },
      { what: 'both services to serve', timeout: 60_000 },
    )
    const said = await back.exec('timeout', '60', 'busybox', 'wget', '-q', '-O', '-', url)
    assert.match(said, new RegExp(`^visit ${++visits}, served by [0-9a-f]{12}$`))
  }

  const rows = (): Promise<string> => on(back, BOOK, 'exec -T db cat /data/visits')

  async function webAddresses(): Promise<string[]> {
    const ids = (await on(front, BOOK, 'ps -q web')).split('\n')
    const format = '{{.NetworkSettings.Networks.guests.IPAddress}}'
    return (await front.docker('inspect', '-f', format, ...ids)).split('\n')
  }
})

/** Whether the quotation, with "…" for anything, stands in what was said. */
function quotes(quotation: string, said: string): boolean {
  const text = said.replaceAll(/\s+/g, ' ')
  let from = 0
  return quotation.split('…').every((part) => {
    const at = text.indexOf(part.trim(), from)
    from = at + part.length
    return at >= 0
  })
}
