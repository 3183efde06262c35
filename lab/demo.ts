import { messageOf, OverlayError } from '../src/errors.ts'
import { Steps } from './demo-steps.ts'
import { tellStory } from './demo-story.ts'
import { Lab } from './lab.ts'
import { leavesTraces, removeLab } from './remove.ts'
import { STANDING_LAB, takeDown } from './standing-lab.ts'

const USAGE = `usage: npm run demo             three Docker hosts on this machine, containers that talk; then all is removed
       npm run demo -- --keep   the same, and it stays to play with
       npm run demo -- down     removes what stayed
`

const HOW_TO_PLAY = `
It stands. Play with it:
  npm run lab -- docker 96 ps
  npm run lab -- docker 98 exec web-98 ping -c 3 $(npm run -s lab -- docker 96 exec web-96 hostname -i)
  npm run lab -- docker 99 run --rm -it --network web overlay-lab:latest sh
  npm run lab -- exec 96 ip route
  npm run lab -- exec 96 busybox wget -q -O - http://127.0.0.1:9847/metrics
  npm run lab -- exec etcd env ETCDCTL_API=3 etcdctl get --prefix /overlay-ts
  npm run lab -- plugin 98 kill          (and: plugin 98 start)
  npm run lab -- logs 96
and remove it with:
  npm run demo -- down
`

/** How much of each log the report of a failed step shows. */
const LOG_LINES = 8
/** As shells tell of a program that a signal ended. */
const SIGNALLED = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

const words = process.argv.slice(2)
if (words.length === 0 || words.join() === '--keep') {
  process.exit(await demonstrate(words.length > 0))
} else if (words.join() === 'down') {
  const removed = await takeDown()
  say(removed.length === 0 ? 'there is nothing to remove' : `removed ${removed.join(', ')}`)
} else {
  process.stderr.write(USAGE)
  process.exitCode = 2
}

/** @returns the exit code */
async function demonstrate(keep: boolean): Promise<number> {
  const started = performance.now()
  const name = keep ? STANDING_LAB : `ovt-${process.pid}-demo`
  if (leavesTraces(name)) {
    say(`✗ the lab "${name}" stands already; remove it first: npm run demo -- down`)
    return 1
  }
  const steps = new Steps(process.stdout)
  const story = tellStory(steps, { name, standing: keep })
  const signal = Promise.withResolvers<keyof typeof SIGNALLED>()
  for (const wanted of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    process.on(wanted, () => signal.resolve(wanted))
  }
  const ended = await Promise.race([
    signal.promise,
    story.then(
      () => null,
      (error: unknown) => ({ error }),
    ),
  ])

  if (typeof ended === 'string') {
    steps.stop()
    say(`interrupted at: ${steps.current ?? 'the end'}; removing everything`)
    await removeLab(name)
    // What was being made meanwhile fails by now, and may have left a part.
    await story.catch(() => {})
    await removeLab(name)
    return SIGNALLED[ended]
  }
  if (ended !== null) {
    report(ended.error, steps.current, name)
    await removeLab(name)
    return 1
  }
  if (keep) {
    process.stdout.write(HOW_TO_PLAY)
    return 0
  }
  await steps.run(
    'everything is removed again: no process, namespace or file is left',
    async () => {
      await removeLab(name)
      if (leavesTraces(name))
        throw new OverlayError('host_state', `parts of ${name} are still there`)
    },
  )
  say(
    `done in ${((performance.now() - started) / 1000).toFixed(1)} s; to keep it: npm run demo -- --keep`,
  )
  return 0
}

function report(error: unknown, step: string | null, name: string): void {
  const logs = leavesTraces(name) ? lastLines(Lab.open(name)) : []
  const reason = error instanceof OverlayError || step === null ? messageOf(error) : String(error)
  const text = [...logs, `demo: failed at: ${step ?? 'the end'}`, reason]
  process.stderr.write(`${text.join('\n')}\n`)
}

function lastLines(lab: Lab): string[] {
  return lab.hosts
    .flatMap((host) => [host.plugin, host.dockerd])
    .flatMap((daemon) => [
      `--- ${daemon.name} on ${daemon.machine.name}${daemon.running ? '' : ' (not running)'}`,
      ...daemon.log().trimEnd().split('\n').slice(-LOG_LINES),
    ])
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
