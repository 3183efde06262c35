import { OverlayError } from '../src/errors.ts'

/** Where a step's line is written: a terminal, a pipe or a file. */
export interface Paper {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** What a step may say while it runs; the lines are printed under it once it is done. */
export interface Notes {
  /** A command as it was typed, and where. */
  command(where: string, line: string): void
  lines(...lines: readonly string[]): void
  /** What a slow step is at, for a terminal only. */
  at(stage: string): void
}

/** Column in which the seconds end. */
const WIDTH = 92
const MARKS = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const TURN_MS = 100

/** Runs the steps of a demonstration, each with one line: `✓ what is true now   1.2 s`. */
export class Steps {
  readonly #paper: Paper
  /** The step that runs or failed. */
  #current: string | null = null
  #stopTurning: () => void = () => {}
  #isOver = false

  constructor(paper: Paper) {
    this.#paper = paper
  }

  /** The step that runs or failed; null when all are done. */
  get current(): string | null {
    return this.#current
  }

  /** @throws whatever the body throws, after the step's line has said that it failed */
  async run<T>(title: string, body: (notes: Notes) => Promise<T>): Promise<T> {
    if (this.#isOver) throw new OverlayError('host_state', `interrupted before: ${title}`)
    const started = performance.now()
    const said: string[] = []
    let stage = ''
    this.#current = title
    this.#turn(() => `${title}${stage && `: ${stage}`}`, started)
    const notes: Notes = {
      command: (where, line) => said.push(`${where}# ${line}`),
      lines: (...lines) => said.push(...lines),
      at: (now) => {
        stage = now
      },
    }
    let mark = '✗'
    try {
      const result = await body(notes)
      mark = '✓'
      this.#current = null
      return result
    } finally {
      if (!this.#isOver) this.#end(mark, title, started, said)
    }
  }

  /** Nothing more is printed, and no further step begins; the one that runs comes to its own end. */
  stop(): void {
    this.#isOver = true
    this.#stopTurning()
  }

  #turn(text: () => string, started: number): void {
    if (!this.#paper.isTTY) return
    let turn = 0
    const draw = (): void => {
      const mark = MARKS[turn++ % MARKS.length]
      const width = Math.min(WIDTH, (this.#paper.columns ?? 80) - 1)
      const line = lineOf(`${mark} ${text()}`, started, width)
      this.#paper.write(`\r${line}\x1b[K`)
    }
    draw()
    const timer = setInterval(draw, TURN_MS)
    this.#stopTurning = () => {
      clearInterval(timer)
      this.#paper.write('\r\x1b[K')
      this.#stopTurning = () => {}
    }
  }

  #end(mark: string, title: string, started: number, said: readonly string[]): void {
    this.#stopTurning()
    this.#paper.write(`${lineOf(`${mark} ${title}`, started)}\n`)
    for (const line of said) this.#paper.write(`    ${line}`.trimEnd() + '\n')
  }
}

/** The text, cut if need be, with the seconds at the right. */
function lineOf(text: string, started: number, width = WIDTH): string {
  const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`
  const room = width - seconds.length - 2
  return `${text.slice(0, room).padEnd(room)}  ${seconds}`
}
