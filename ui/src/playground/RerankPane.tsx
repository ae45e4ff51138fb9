import { Group, Paper, Progress, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useState } from 'react'

import { rerank } from '../api/encode'
import type { Instance } from '../api/instances'
import { useI18n } from '../i18n'
import { PaneForm } from './PaneForm'
import { linesOf } from './similarity'
import { useCall } from './useCall'

interface Ranked {
  index: number
  text: string
  score: number
}

/** A question, and documents in the order in which they answer it. */
export default function RerankPane({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const [query, setQuery] = useState(t('rerank.example.query'))
  const [text, setText] = useState(t('rerank.example.documents'))
  const call = useCall<Ranked[]>()
  const documents = linesOf(text)
  const body = { model: instance.model_uid, query, documents }

  async function rank(signal: AbortSignal): Promise<Ranked[]> {
    const { results } = await rerank(body, signal)
    return results.map(({ index, relevance_score }) => ({
      index,
      text: documents[index] ?? '',
      score: relevance_score,
    }))
  }

  return (
    <>
      <PaneForm
        {...call}
        request={{ path: 'rerank', body }}
        submit={t('rerank.submit')}
        disabled={!query.trim() || documents.length === 0}
        onSubmit={() => call.start(rank)}
        onStop={call.stop}
      >
        <TextInput
          label={t('rerank.query')}
          value={query}
          onChange={(event) => setQuery(event.currentTarget.value)}
        />
        <Textarea
          label={t('rerank.documents')}
          description={t('form.perLine')}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          autosize
          minRows={4}
          maxRows={12}
        />
      </PaneForm>
      {call.result && <Ranking ranked={call.result} />}
    </>
  )
}

function Ranking({ ranked }: { ranked: Ranked[] }) {
  const { t } = useI18n()
  const best = Math.max(...ranked.map(({ score }) => score))
  const worst = Math.min(0, ...ranked.map(({ score }) => score))
  return (
    <Stack component="ol" gap="xs" p={0} m={0} aria-label={t('rerank.ranking')}>
      {ranked.map(({ index, text, score }, place) => (
        <Paper component="li" key={index} withBorder p="sm" style={{ listStyle: 'none' }}>
          <Group justify="space-between" wrap="nowrap" align="flex-start">
            <Text fz="sm">
              {place + 1}. {text}
            </Text>
            <Text fz="sm" ff="monospace">
              {score.toFixed(4)}
            </Text>
          </Group>
          <Progress
            mt={6}
            size="sm"
            value={best > worst ? ((score - worst) / (best - worst)) * 100 : 100}
            aria-label={t('rerank.score', { number: index + 1 })}
          />
        </Paper>
      ))}
    </Stack>
  )
}
