import { Button, Loader, Text } from '@mantine/core'
import { lazy, Suspense } from 'react'

import { useI18n } from '../i18n'
import disclosure from '../shell/Disclosure.module.css'
import { ErrorAlert } from '../shell/ErrorAlert'
import { ToolCalls } from './ToolCalls'
import type { Turn } from './turn'
import { TurnFacts } from './TurnFacts'
import { TurnInput } from './TurnInput'
import classes from './TurnView.module.css'

const Markdown = lazy(loadMarkdown)

/** Loads what shows answers, which takes a moment: best before there is one. */
export function loadMarkdown() {
  return import('../shell/Markdown')
}

export function TurnView({ turn, onRetry }: { turn: Turn; onRetry: (() => void) | null }) {
  const { t } = useI18n()
  const waiting = turn.state === 'streaming' && !turn.answer
  return (
    <>
      <TurnInput input={turn.input} />
      <article className={classes.answer} aria-label={turn.model}>
        <Text fz="xs" c="dimmed" ff="monospace">
          {turn.model}
        </Text>
        {turn.reasoning && (
          <details className={disclosure.disclosure} open={waiting}>
            <summary>{t('chat.thinking')}</summary>
            <Text component="div" c="dimmed" fz="sm" className={classes.text}>
              {turn.reasoning}
            </Text>
          </details>
        )}
        {waiting && <Loader type="dots" size="sm" role="img" aria-label={t('chat.waiting')} />}
        {turn.answer && (
          <Suspense fallback={<div className={classes.text}>{turn.answer}</div>}>
            <Markdown text={turn.answer} />
          </Suspense>
        )}
        <ToolCalls calls={turn.calls} />
        <TurnFacts turn={turn} />
        <ErrorAlert error={turn.error} />
        {turn.state === 'failed' && onRetry && (
          <Button variant="default" size="xs" mt="xs" onClick={onRetry}>
            {t('chat.retry')}
          </Button>
        )}
      </article>
    </>
  )
}
