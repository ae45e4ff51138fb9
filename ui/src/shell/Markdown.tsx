import ReactMarkdown from 'react-markdown'
import type { Components } from 'react-markdown'
import rehypeHighlight from 'rehype-highlight'
import remarkGfm from 'remark-gfm'

import { useI18n } from '../i18n'
import { CopyButton } from './CopyButton'
import classes from './Markdown.module.css'

/**
 * What a model wrote, as it meant it to look. HTML in it stays text, addresses are those of the web
 * alone, and pictures are links: a page must not ask other servers because a model says so.
 */
export default function Markdown({ text }: { text: string }) {
  return (
    <div className={classes.markdown}>
      <ReactMarkdown
        remarkPlugins={[remarkGfm]}
        rehypePlugins={[rehypeHighlight]}
        components={COMPONENTS}
      >
        {text}
      </ReactMarkdown>
    </div>
  )
}

const COMPONENTS: Components = {
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noreferrer noopener">
      {children}
    </a>
  ),
  img: ({ src, alt }) => (
    <a href={src} target="_blank" rel="noreferrer noopener">
      {alt || src}
    </a>
  ),
  pre: ({ node, children }) => <Code text={node ? textOf(node) : ''}>{children}</Code>,
  table: ({ children }) => (
    <div className={classes.scroll} tabIndex={0} role="group">
      <table>{children}</table>
    </div>
  ),
}

function Code({ text, children }: { text: string; children: React.ReactNode }) {
  const { t } = useI18n()
  return (
    <div className={classes.code}>
      <pre tabIndex={0}>{children}</pre>
      <div className={classes.copy}>
        <CopyButton text={text.replace(/\n$/, '')} label={t('copy.code')} />
      </div>
    </div>
  )
}

interface TextNode {
  type: string
  value?: string
  children?: TextNode[]
}

function textOf(node: TextNode): string {
  return node.type === 'text' ? (node.value ?? '') : (node.children ?? []).map(textOf).join('')
}
