import { Alert } from '@mantine/core'

import { IncompleteAnswerError } from '../api/chat'
import { ApiError, UnreachableError } from '../api/http'
import { useI18n } from '../i18n'
import { AlertIcon } from './icons'
import { Sentence } from './Sentence'

/** Says in place what went wrong; shows nothing without an error, or while a key is asked for. */
export function ErrorAlert({ error }: { error: Error | null }) {
  const { t } = useI18n()
  if (!error) return null
  if (error instanceof ApiError && error.status === 401) return null
  let text = error.message
  if (error instanceof UnreachableError) text = t('error.unreachable')
  if (error instanceof IncompleteAnswerError) text = t('error.incomplete')
  return (
    <Alert color="red" icon={<AlertIcon />} role="alert" style={{ overflowWrap: 'anywhere' }}>
      <Sentence text={text} />
    </Alert>
  )
}
