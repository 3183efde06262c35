import { messageOf } from '../src/errors.ts'
import type { OwnBench } from './bench.ts'
import { digits } from './figure.ts'
import { inMode } from './modes.ts'
import type { RunOptions } from './options.ts'
import { MODE_TITLES, type Results } from './results.ts'
import { planOf, PROFILE } from './plan.ts'
import { measureProfile } from './profile.ts'
import { measureInTurn } from './rounds.ts'
import { withStage, type Stage } from './stage.ts'

/** Builds the stage, measures what is asked for in turn, and removes the stage. What fails is recorded. */
export async function measure(
  options: RunOptions,
  results: Results,
  say: (line: string) => void,
): Promise<void> {
  const parts = planOf(options)
  const { benches, rounds, seconds, subjects } = options
  const profiled = benches.length === 0 || benches.includes(PROFILE)
  if (parts.length === 0 && !profiled) return
  const only = subjects === null ? {} : { only: subjects }
  await withStage({ rounds, seconds, say, ...only }, async (stage) => {
    for (const { name, kind, about, version } of stage.subjects) {
      results.record.subjects.push({ name, kind, about, version })
    }
    results.record.absent.push(...stage.absent)
    if (profiled) await profile(stage, results)
    for (const { mode, benches } of parts) {
      await using _mode = mode === null ? null : await inMode(stage, mode)
      for (const bench of benches) {
        say(mode === null ? bench.title : `${bench.title}, ${MODE_TITLES[mode]}`)
        if (bench.kind === 'own') await measureOurs(bench, stage, results)
        else await measureInTurn(bench, mode, stage, results)
      }
    }
  })
}

async function profile(stage: Stage, results: Results): Promise<void> {
  const { say, subjects } = stage
  say('where the time goes')
  try {
    results.record.profile = await measureProfile(stage)
    results.save()
  } catch (error) {
    const why = messageOf(error)
    say(`the profile failed: ${why}`)
    results.fail({ bench: PROFILE, mode: null, subject: subjects[0].name, why })
  }
}

async function measureOurs(bench: OwnBench, stage: Stage, results: Results): Promise<void> {
  const [{ name: subject }] = stage.subjects
  try {
    const values = await bench.run(stage)
    results.add({ bench: bench.name, mode: null, subject, round: 1, values })
    for (const { id, what, unit } of bench.figures) {
      const value = values[id]
      if (value !== undefined) stage.say(`${what}: ${digits(value)} ${unit}`)
    }
  } catch (error) {
    stage.say(`${bench.title} failed: ${messageOf(error)}`)
    results.fail({ bench: bench.name, mode: null, subject, why: messageOf(error) })
  }
}
