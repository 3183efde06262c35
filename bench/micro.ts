import { join } from 'node:path'
import { command } from '../lab/command.ts'
import type { MicroResult } from './results.ts'

const PROGRAM = join(import.meta.dirname, 'micro', 'main.ts')

/** Measures operations of the datapath in a process that does nothing else. @throws OverlayError host_state */
export async function measureMicro(): Promise<MicroResult[]> {
  const words = [process.execPath, '--expose-gc', PROGRAM]
  const text = await command(words, { timeout: 300_000, env: process.env })
  return JSON.parse(text) as MicroResult[]
}
