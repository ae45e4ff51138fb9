import { Table, Text, Textarea } from '@mantine/core'
import { useState } from 'react'

import { embed } from '../api/encode'
import type { Instance } from '../api/instances'
import { useI18n } from '../i18n'
import { PaneForm } from './PaneForm'
import { linesOf, similarities } from './similarity'
import { useCall } from './useCall'

interface Result {
  texts: string[]
  dimensions: number
  similarities: number[][]
}

/** Texts, one a line, and how similar the model finds them. */
export default function EmbeddingPane({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const [text, setText] = useState(t('embedding.example'))
  const call = useCall<Result>()
  const texts = linesOf(text)
  const body = { model: instance.model_uid, input: texts }

  async function compare(signal: AbortSignal): Promise<Result> {
    const { data } = await embed(body, signal)
    const vectors = [...data].sort((a, b) => a.index - b.index).map(({ embedding }) => embedding)
    return {
      texts,
      dimensions: vectors[0]?.length ?? 0,
      similarities: similarities(vectors),
    }
  }

  return (
    <>
      <PaneForm
        {...call}
        request={{ path: 'embeddings', body }}
        submit={t('embedding.submit')}
        disabled={texts.length === 0}
        onSubmit={() => call.start(compare)}
        onStop={call.stop}
      >
        <Textarea
          label={t('embedding.texts')}
          description={t('form.perLine')}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          autosize
          minRows={4}
          maxRows={12}
        />
      </PaneForm>
      {call.result && <Similarities {...call.result} />}
    </>
  )
}

function Similarities({ texts, dimensions, similarities }: Result) {
  const { t } = useI18n()
  return (
    <Table.ScrollContainer
      minWidth={480}
      type="native"
      role="region"
      aria-label={t('embedding.table')}
      tabIndex={0}
    >
      <Table withTableBorder withColumnBorders bg="var(--mantine-color-body)">
        <Table.Caption>{t('embedding.caption', { dimensions })}</Table.Caption>
        <Table.Thead>
          <Table.Tr>
            <Table.Td />
            {texts.map((text, column) => (
              <Table.Th key={column} title={text}>
                {column + 1}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {texts.map((text, row) => (
            <Table.Tr key={row}>
              <Table.Th scope="row">
                <Text span fz="sm" lineClamp={2}>
                  {row + 1}. {text}
                </Text>
              </Table.Th>
              {(similarities[row] ?? []).map((value, column) => (
                <Table.Td key={column} style={shade(value)}>
                  {value.toFixed(3)}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}

/** The more similar, the stronger; never so strong that the number cannot be read. */
function shade(similarity: number) {
  const percent = Math.round(Math.max(0, similarity) * 45)
  return { background: `color-mix(in srgb, var(--mantine-color-teal-5) ${percent}%, transparent)` }
}
