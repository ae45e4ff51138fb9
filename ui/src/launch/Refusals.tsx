import { Alert, List } from '@mantine/core'

import type { EngineAnswers } from '../api/catalogue'
import { useI18n } from '../i18n'
import disclosure from '../shell/Disclosure.module.css'
import { Sentence } from '../shell/Sentence'
import { refusalsOf } from './cascade'

/** Why engines cannot run the model; open where none can. */
export function Refusals({ answers }: { answers: EngineAnswers }) {
  const { t } = useI18n()
  const refusals = refusalsOf(answers)
  const all = refusals.length === Object.keys(answers).length
  if (refusals.length === 0) return null
  return (
    <>
      {all && (
        <Alert color="yellow" role="status">
          {t('form.nothing')}
        </Alert>
      )}
      <details className={disclosure.disclosure} open={all}>
        <summary>{t('form.cannot', { count: refusals.length })}</summary>
        <List fz="sm" c="dimmed" mt="xs">
          {refusals.map(([engine, reason]) => (
            <List.Item key={engine}>
              <strong>{engine}</strong>: <Sentence text={reason} />
            </List.Item>
          ))}
        </List>
      </details>
    </>
  )
}
