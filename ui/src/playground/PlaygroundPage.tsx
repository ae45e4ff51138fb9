import { Anchor, Button, Group, NativeSelect, Paper, Skeleton, Stack, Text } from '@mantine/core'
import { lazy, Suspense } from 'react'

import type { ModelType } from '../api/model-types'
import type { Instance } from '../api/instances'
import { useInstances } from '../api/queries'
import { ChatPane } from '../chat/ChatPane'
import type { Chat } from '../chat/useChat'
import { useI18n } from '../i18n'
import { go, routeTo } from '../route'
import { ErrorAlert } from '../shell/ErrorAlert'
import { PageTitle } from '../shell/PageTitle'
import classes from './PlaygroundPage.module.css'

const PANES: Record<Exclude<ModelType, 'LLM'>, ReturnType<typeof lazyPane>> = {
  embedding: lazyPane(() => import('./EmbeddingPane')),
  rerank: lazyPane(() => import('./RerankPane')),
  image: lazyPane(() => import('./ImagePane')),
  audio: lazyPane(() => import('./AudioPane')),
}
const CompletionPane = lazyPane(() => import('./CompletionPane'))

function lazyPane(load: () => Promise<{ default: React.ComponentType<{ instance: Instance }> }>) {
  return lazy(load)
}

interface Props {
  /** The model that the address names, if any. */
  uid: string | null
  chat: Chat
}

/** A place to try each model that runs; what there is to try depends on its type. */
export function PlaygroundPage({ uid, chat }: Props) {
  const { t } = useI18n()
  const instances = useInstances()
  const ready = (instances.data ?? []).filter(({ status }) => status === 'READY')
  const instance = choose(ready, uid, chat.turns.at(-1)?.model)
  const chats = instance ? canChat(instance) : chat.turns.length > 0

  return (
    <Stack gap="sm" className={chats ? classes.filling : undefined}>
      <PageTitle>{t('playground.title')}</PageTitle>
      <ErrorAlert error={instances.error} />
      {instances.data && !instance && (
        <Paper withBorder p="xl" ta="center">
          <Text role="status" c="dimmed" mb="xs">
            {nothingToTry(t, instances.data, uid)}
          </Text>
          <Anchor href={routeTo(uid === null ? 'launch' : 'running')}>
            {t(uid === null ? 'running.empty.action' : 'running.title')}
          </Anchor>
        </Paper>
      )}
      {instance && (
        <Group align="flex-end" gap="xs">
          <NativeSelect
            label={t('playground.model')}
            data={ready.map(({ model_uid }) => model_uid)}
            value={instance.model_uid}
            onChange={(event) => go('playground', event.currentTarget.value)}
            flex={1}
          />
          {chats && (
            <Button variant="default" disabled={chat.turns.length === 0} onClick={chat.clear}>
              {t('chat.clear')}
            </Button>
          )}
        </Group>
      )}
      {chats ? (
        <ChatPane instance={instance ?? null} chat={chat} />
      ) : (
        instance && <Pane key={instance.model_uid} instance={instance} />
      )}
    </Stack>
  )
}

function nothingToTry(t: ReturnType<typeof useI18n>['t'], instances: Instance[], uid: string | null) {
  if (uid === null) return t('playground.none')
  const known = instances.some(({ model_uid }) => model_uid === uid)
  return t(known ? 'playground.notReady' : 'playground.unknown', { uid })
}

function Pane({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const Chosen = instance.model_type === 'LLM' ? CompletionPane : PANES[instance.model_type]
  return (
    <Suspense fallback={<Skeleton h={160} aria-label={t('loading')} />}>
      <Chosen instance={instance} />
    </Suspense>
  )
}

function canChat(instance: Instance): boolean {
  return instance.model_type === 'LLM' && instance.model_ability.includes('chat')
}

/**
 * The model to try: the one the address names or, if it names none, the last one talked to or
 * any. What was asked for by name is never replaced by another.
 */
function choose(ready: Instance[], named: string | null, last?: string): Instance | undefined {
  const find = (uid?: string) => ready.find(({ model_uid }) => model_uid === uid)
  if (named !== null) return find(named)
  return find(last) ?? ready[0]
}
