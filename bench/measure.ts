import { messageOf } from '../src/errors.ts'
import type { OwnBench } from './bench.ts'
import { digits } from './figure.ts'
import { inMode } from './modes.ts'
import type { RunOptions } from './options.ts'
import { MODE_TITLES, type Results } from './results.ts'
import { planOf, PROFILE, type Part } from './plan.ts'
import { measureProfile } from './profile.ts'
import { measureInTurn } from './rounds.ts'
import { withStage, type Stage } from './stage.ts'

/**
 * Builds the stage, measures what is asked for in turn, and removes the stage. What fails is recorded,
 * and the rest goes on. @throws OverlayError when there is no stage to measure on
 */
export async function measure(
  options: RunOptions,
  results: Results,
  say: (line: string) => void,
): Promise<void> {
  const { benches, rounds, seconds, subjects } = options
  const parts = planOf(options)
  const profiled = benches.length === 0 || benches.includes(PROFILE)
  if (parts.length === 0 && !profiled) return
  const only = subjects === null ? {} : { only: subjects }
  let done = false
  try {
    await withStage({ rounds, seconds, say, ...only }, async (stage) => {
      for (const { name, kind, about, version } of stage.subjects) {
        results.record.subjects.push({ name, kind, about, version })
      }
      results.record.absent.push(...stage.absent)
      if (profiled) await profile(stage, results)
      for (const part of parts) await measurePart(part, stage, results)
      done = true
    })
  } catch (error) {
    if (!done) throw error
    say(`measured, but not all was removed: ${messageOf(error)}`)
  }
}

async function measurePart({ mode, benches }: Part, stage: Stage, results: Results): Promise<void> {
  const { say } = stage
  for (const bench of benches) {
    say(mode === null ? bench.title : `${bench.title}, ${MODE_TITLES[mode]}`)
    try {
      await using _mode = mode === null ? null : await inMode(stage, mode)
      if (bench.kind === 'own') await measureOurs(bench, stage, results)
      else await measureInTurn(bench, mode, stage, results)
    } catch (error) {
      const why = messageOf(error)
      say(`${bench.title} failed: ${why}`)
      results.fail({ bench: bench.name, mode, subject: stage.subjects[0].name, why })
    }
  }
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
  const values = await bench.run(stage)
  results.add({ bench: bench.name, mode: null, subject, round: 1, values })
  for (const { id, what, unit } of bench.figures) {
    const value = values[id]
    if (value !== undefined) stage.say(`${what}: ${digits(value)} ${unit}`)
  }
}
