import { resolve } from 'node:path'
import { SyntaxKind, type Expression, type Node, type SourceFile } from 'typescript/unstable/ast'
import {
  isBinaryExpression,
  isCallExpression,
  isConditionalExpression,
  isIdentifier,
  isNewExpression,
  isNoSubstitutionTemplateLiteral,
  isNonNullExpression,
  isPropertyAccessExpression,
  isStringLiteral,
  isTemplateExpression,
  isVariableDeclaration,
} from 'typescript/unstable/ast/is'
import { API } from 'typescript/unstable/sync'

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
    return files.flatMap((file) => {
      const source = program.getSourceFile(resolve(ROOT, file))
      return source === undefined ? [] : sentencesIn(source, file)
    })
  } finally {
    api.close()
  }
}

function sentencesIn(source: SourceFile, file: string): ErrorSentence[] {
  const found: ErrorSentence[] = []
  visit(source, (node) => {
    if (!isNewExpression(node) || nameOf(node.expression) !== 'OverlayError') return
    const [code, sentence] = node.arguments ?? []
    if (code === undefined || sentence === undefined) return
    const text = wordsOf(sentence, source)
    // Fewer are the words of another program.
    if ((text.replace(/‹.*?›/g, '').match(/[a-z]{2,}/gi) ?? []).length > 2) {
      found.push({ file, codes: stringsIn(code), text })
    }
  })
  return found
}

function visit(node: Node, see: (node: Node) => void): void {
  see(node)
  node.forEachChild((child) => visit(child, see))
}

function stringsIn(node: Node): string[] {
  const found: string[] = []
  visit(node, (part) => void (isStringLiteral(part) && found.push(part.text)))
  return found
}

/** The text that an expression makes, with holes where it is only known when it happens. */
function wordsOf(node: Expression, source: SourceFile): string {
  if (isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)) return node.text
  if (isTemplateExpression(node)) {
    const rest = node.templateSpans.map(
      ({ expression, literal }) => `${filledIn(expression)}${literal.text}`,
    )
    return `${node.head.text}${rest.join('')}`
  }
  if (isBinaryExpression(node) && node.operatorToken.kind === SyntaxKind.PlusToken) {
    return `${wordsOf(node.left, source)}${wordsOf(node.right, source)}`
  }
  if (isIdentifier(node)) return wordsOfConstant(node.text, source) ?? hole(node.text)
  return filledIn(node)
}

function wordsOfConstant(name: string, source: SourceFile): string | null {
  let words: string | null = null
  visit(source, (node) => {
    if (!isVariableDeclaration(node) || nameOf(node.name) !== name) return
    const { initializer } = node
    if (initializer && !isIdentifier(initializer)) words = wordsOf(initializer, source)
  })
  return words
}

/** What is filled in, by the name that the code has for it. */
function filledIn(node: Expression): string {
  if (isStringLiteral(node)) return node.text
  if (isNonNullExpression(node)) return filledIn(node.expression)
  if (isConditionalExpression(node)) return hole('…')
  if (isCallExpression(node)) {
    const [first] = node.arguments
    // Of names.join(', ') the names, of formatIp(address) the address.
    if (isPropertyAccessExpression(node.expression)) return filledIn(node.expression.expression)
    return first === undefined ? hole('…') : filledIn(first)
  }
  const name = nameOf(node)
  return hole(name ?? '…')
}

function nameOf(node: Node): string | null {
  if (isIdentifier(node)) return node.text
  return isPropertyAccessExpression(node) ? nameOf(node.name) : null
}

/** subnetLength is "‹subnet length›", PATIENCE_MS "‹patience ms›". */
function hole(name: string): string {
  const words = name.replace(/([a-z])([A-Z])/g, '$1 $2').replaceAll('_', ' ')
  return `‹${words.toLowerCase()}›`
}
