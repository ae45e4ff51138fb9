import { Anchor, Button, Group, NativeSelect, Paper, Stack, Text } from '@mantine/core'

import { useInstances } from '../api/queries'
import { useI18n } from '../i18n'
import { go, routeTo } from '../route'
import { ErrorAlert } from '../shell/ErrorAlert'
import { PageTitle } from '../shell/PageTitle'
import classes from './ChatPage.module.css'
import { Composer } from './Composer'
import { Conversation } from './Conversation'
import { SystemPrompt } from './SystemPrompt'
import type { Chat } from './useChat'

/** `uid` is the model that the address names, if any. */
export function ChatPage({ uid, chat }: { uid: string | null; chat: Chat }) {
  const { t } = useI18n()
  const instances = useInstances()
  const models = (instances.data ?? [])
    .filter(({ status, model_ability }) => status === 'READY' && model_ability.includes('chat'))
    .map(({ model_uid }) => model_uid)
  const model = choose(models, uid, chat.turns.at(-1)?.model)

  return (
    <Stack gap="sm" className={classes.page}>
      <PageTitle>{t('chat.title')}</PageTitle>
      <ErrorAlert error={instances.error} />
      {instances.data && !model && (
        <Paper withBorder p="xl" ta="center">
          <Text role="status" c="dimmed" mb="xs">
            {uid === null ? t('chat.none') : t('chat.notReady', { uid })}
          </Text>
          <Anchor href={routeTo(uid === null ? 'launch' : 'running')}>
            {t(uid === null ? 'running.empty.action' : 'running.title')}
          </Anchor>
        </Paper>
      )}
      {model && (
        <Stack gap="xs">
          <Group align="flex-end">
            <NativeSelect
              label={t('chat.model')}
              data={models}
              value={model}
              onChange={(event) => go('chat', event.currentTarget.value)}
              flex={1}
            />
            <Button variant="default" disabled={chat.turns.length === 0} onClick={chat.clear}>
              {t('chat.clear')}
            </Button>
          </Group>
          <SystemPrompt value={chat.system} onChange={chat.setSystem} />
        </Stack>
      )}
      {(model || chat.turns.length > 0) && (
        <Conversation
          turns={chat.turns}
          hint={model ? t('chat.hello', { uid: model }) : ''}
          onRetry={model ? () => chat.retry(model) : null}
        />
      )}
      {(model || chat.streaming) && (
        <Composer
          streaming={chat.streaming}
          onSend={(prompt) => model && chat.send(model, prompt)}
          onStop={chat.stop}
        />
      )}
    </Stack>
  )
}

/**
 * The model to talk to: the one the address names or, if it names none, the last one talked to or
 * any. What was asked for by name is never replaced by another.
 */
function choose(ready: string[], named: string | null, last?: string): string | undefined {
  if (named !== null) return ready.find((uid) => uid === named)
  return ready.find((uid) => uid === last) ?? ready[0]
}
