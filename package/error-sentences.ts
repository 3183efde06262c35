import { resolve } from 'node:path'
import type { Node, SourceFile } from 'typescript/unstable/ast'
import { isStringLiteral } from 'typescript/unstable/ast/is'
import { API } from 'typescript/unstable/sync'
import { ErrorWords, isOverlayError, isSentence, visit } from './error-words.ts'

const ROOT = resolve(import.meta.dirname, '..')

/** A sentence of an OverlayError as the code has it. */
export interface ErrorSentence {
  /** From the project's root: "src/net/cidr.ts". */
  readonly file: string
  /** Usually one. */
  readonly codes: readonly string[]
  /** What is filled in stands in angle quotes: "the subnet ‹subnet› belongs to …". */
  readonly text: string
}

/** Every sentence in the files that is not somebody else's words alone, in the order of the code. */
export function errorSentences(files: readonly string[]): ErrorSentence[] {
  const api = new API({ cwd: ROOT })
  try {
    const project = resolve(ROOT, 'tsconfig.json')
    const { program } = api.updateSnapshot({ openProjects: [project] }).getProject(project)!
    const sources = files.flatMap((file): [string, SourceFile][] => {
      const source = program.getSourceFile(resolve(ROOT, file))
      return source === undefined ? [] : [[file, source]]
    })
    const words = new ErrorWords(sources.map(([, source]) => source))
    return sources.flatMap(([file, source]) => sentencesIn(source, file, words))
  } finally {
    api.close()
  }
}

function sentencesIn(source: SourceFile, file: string, words: ErrorWords): ErrorSentence[] {
  const found: ErrorSentence[] = []
  visit(source, (node) => {
    if (!isOverlayError(node)) return
    const [code, sentence] = node.arguments ?? []
    if (code === undefined || sentence === undefined) return
    const texts = new Set(words.textsOf(sentence).filter(isSentence))
    found.push(...[...texts].map((text) => ({ file, codes: stringsIn(code), text })))
  })
  return found
}

function stringsIn(node: Node): string[] {
  const found: string[] = []
  visit(node, (part) => void (isStringLiteral(part) && found.push(part.text)))
  return found
}
