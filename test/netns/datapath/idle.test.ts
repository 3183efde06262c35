import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { answersDatagrams } from './answers-datagrams.ts'
import { OWN, pings, TwoHosts } from './two-hosts.ts'

const SECONDS = 4
/** The wait that follows traffic, and what else the machine does, may fall into one; a busy loop fills all. */
const WINDOWS = 4
/** Of /proc/PID/stat (proc(5)): USER_HZ, the same on every machine Linux runs on today. */
const TICKS = 100

const SEND = `echo x >/dev/udp/${OWN.b}/9000`

/** Processor time of all threads of the process, in ticks. */
function ticksOf(pid: number): number {
  const rest = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1] ?? ''
  const fields = rest.split(' ')
  return Number(fields[11]) + Number(fields[12])
}

test('an idle forwarder takes at most a hundredth of a core, and so does one with a packet now and then', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await using _b = await hosts.ours('b')
  // Packets that follow each other closely are looked for, which must come to an end.
  await answersDatagrams(hosts.a, hosts.b, OWN.b, { size: 64, count: 8000 })
  for (const traffic of ['none', 'ten a second']) {
    const used: number[] = []
    do {
      assert.ok(
        used.length < WINDOWS,
        `${used.join(', ')} ticks in ${SECONDS} s, traffic: ${traffic}`,
      )
      const before = ticksOf(a.pid)
      await (traffic === 'none'
        ? sleep(SECONDS * 1000)
        : hosts.a.run('bash', '-c', `for i in {1..${SECONDS * 10}}; do ${SEND}; sleep 0.1; done`))
      used.push(ticksOf(a.pid) - before)
    } while (used.at(-1)! > (SECONDS * TICKS) / 100)
  }
  assert.ok(await pings(hosts.a, OWN.b))
})
