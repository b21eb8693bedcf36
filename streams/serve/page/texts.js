// Every text of the page, by key: English, German, Chinese. A test checks that no text is missing.
export const LANGUAGES = { en: "English", de: "Deutsch", zh: "中文" };

const TEXTS = {
  skip: ["Skip to the content", "Zum Inhalt springen", "跳到正文"],
  views: ["Views", "Ansichten", "视图"],
  language: ["Language", "Sprache", "语言"],
  theme: ["Colours", "Farben", "配色"],
  themeAuto: ["as the system", "wie das System", "跟随系统"],
  themeLight: ["light", "hell", "浅色"],
  themeDark: ["dark", "dunkel", "深色"],
  live: ["Live", "Live", "实时"],
  quality: ["Quality", "Güte", "质量"],
  user: ["User", "Nutzer", "用户"],
  item: ["Item", "Artikel", "商品"],
  connecting: ["connecting", "verbindet", "连接中"],
  connected: ["live", "live", "已连接"],
  disconnected: ["no connection, trying again", "keine Verbindung, neuer Versuch", "连接中断，正在重试"],
  tokenTitle: ["This server asks for a token", "Dieser Server verlangt ein Token", "此服务器需要令牌"],
  tokenWhy: [
    "The token stays in this tab, and is forgotten when the tab is closed.",
    "Das Token bleibt in diesem Tab und ist vergessen, sobald der Tab geschlossen wird.",
    "令牌只保存在此标签页中，关闭标签页后即被清除。",
  ],
  tokenWrong: ["The server does not know this token.", "Der Server kennt dieses Token nicht.", "服务器不认识此令牌。"],
  token: ["Token", "Token", "令牌"],
  tokenSend: ["Use the token", "Token verwenden", "使用令牌"],
  asTable: ["The figures as a table", "Die Zahlen als Tabelle", "以表格显示数据"],
  time: ["Time", "Zeit", "时间"],
  now: ["Now", "Jetzt", "当前"],
  bundle: ["Bundle", "Bundle", "模型包"],
  noBundle: ["no active bundle", "kein aktives Bundle", "没有活动的模型包"],

  applied: ["Events applied per second", "Angewandte Ereignisse je Sekunde", "每秒已处理事件"],
  sent: ["Records sent per second", "Gesendete Datensätze je Sekunde", "每秒发送记录"],
  throughput: ["Throughput, per second", "Durchsatz, je Sekunde", "吞吐量（每秒）"],
  lag: ["Lag, in records", "Rückstand, in Datensätzen", "积压（记录数）"],
  lagNote: [
    "Records that the consumer group has not committed. Workers commit every few seconds.",
    "Datensätze, die die Consumer-Gruppe nicht bestätigt hat. Worker bestätigen alle paar Sekunden.",
    "消费者组尚未提交的记录。工作进程每隔几秒提交一次。",
  ],
  freshness: ["Freshness, in milliseconds", "Frische, in Millisekunden", "新鲜度（毫秒）"],
  freshnessNote: [
    "Time from an event's record to the user's update, which follows the stored row. A sample of the last minute.",
    "Zeit vom Datensatz eines Ereignisses bis zum Update des Nutzers, das der gespeicherten Zeile folgt. Stichprobe der letzten Minute.",
    "从事件记录到用户更新的时间，更新在数据行写入之后发布。取最近一分钟的样本。",
  ],
  freshP50: ["Freshness, median", "Frische, Median", "新鲜度，中位数"],
  freshP99: ["Freshness, 99th percentile", "Frische, 99. Perzentil", "新鲜度，第99百分位"],
  deadLetters: ["Dead letters", "Unzustellbare Datensätze", "死信"],
  deadLettersNote: [
    "The newest letters of the dead-letter topic, at most 2,000 of each partition, without the values of the records.",
    "Die neuesten Einträge des Dead-Letter-Topics, höchstens 2.000 je Partition, ohne die Werte der Datensätze.",
    "死信主题中最新的记录，每个分区最多 2,000 条，不含记录的值。",
  ],
  noDeadLetters: ["There are no dead letters.", "Es gibt keine unzustellbaren Datensätze.", "没有死信。"],
  reason: ["Reason", "Grund", "原因"],
  field: ["Field", "Feld", "字段"],
  count: ["Count", "Anzahl", "数量"],
  newestLetters: ["The newest letters", "Die neuesten Einträge", "最新死信"],
  source: ["Source record", "Ursprung", "来源记录"],
  lastEvents: ["Last events", "Letzte Ereignisse", "最近事件"],
  noEvents: ["No event was seen yet.", "Noch kein Ereignis gesehen.", "尚未看到事件。"],
  action: ["Action", "Aktion", "行为"],
  rank: ["Rank before the event", "Rang vor dem Ereignis", "事件前排名"],
  rankOf: ["{rank} of {all}", "{rank} von {all}", "{rank} / {all}"],
  firstEvent: ["first event", "erstes Ereignis", "首个事件"],
  unknownItem: ["not in the catalogue", "nicht im Katalog", "不在目录中"],

  recall: ["Recall@20", "Recall@20", "召回率@20"],
  mrr: ["MRR@20", "MRR@20", "MRR@20"],
  qualityNote: [
    "Each event is ranked over the whole catalogue before it is applied. One point is one window of the monitor.",
    "Jedes Ereignis wird vor seiner Anwendung über den ganzen Katalog gereiht. Ein Punkt ist ein Fenster des Monitors.",
    "每个事件在应用之前对整个目录排名。每个点对应监控器的一个窗口。",
  ],
  noMetrics: [
    "The metrics topic is empty. Start `thalweg monitor`, which writes one point for each 10 s with events.",
    "Das Metrik-Topic ist leer. Starten Sie `thalweg monitor`, der je 10 s mit Ereignissen einen Punkt schreibt.",
    "指标主题为空。请启动 `thalweg monitor`，它会为每 10 秒的事件写入一个点。",
  ],
  system: ["Ranking", "Rangfolge", "排序方法"],
  model: ["Model", "Modell", "模型"],
  popularity: ["Popularity so far", "Bisherige Beliebtheit", "至今热门"],
  last_item: ["After the last item", "Nach dem letzten Artikel", "上一商品之后"],
  frozen_1h: ["Model, state an hour old", "Modell, Zustand eine Stunde alt", "模型，一小时前的状态"],
  frozen_1d: ["Model, state a day old", "Modell, Zustand einen Tag alt", "模型，一天前的状态"],
  sideBySide: ["Bundles side by side", "Bundles nebeneinander", "模型包对比"],
  sideBySideNote: [
    "Means over all windows that the page has, weighted by events.",
    "Mittel über alle Fenster, die die Seite hat, gewichtet nach Ereignissen.",
    "页面已有全部窗口的均值，按事件数加权。",
  ],
  events: ["Events", "Ereignisse", "事件"],
  from: ["From", "Von", "自"],
  until: ["Until", "Bis", "至"],
  alarms: ["Alarms", "Alarme", "告警"],
  noAlarms: ["No alarm was raised.", "Kein Alarm wurde ausgelöst.", "没有告警。"],
  alarm: ["Alarm", "Alarm", "告警"],
  state: ["State", "Zustand", "状态"],
  firing: ["firing", "aktiv", "触发中"],
  resolved: ["resolved", "beendet", "已解除"],
  slice: ["Slice", "Ausschnitt", "分片"],
  detail: ["Detail", "Einzelheit", "详情"],
  alarmMark: ["A dashed line marks the begin of an alarm.", "Eine gestrichelte Linie markiert den Beginn eines Alarms.", "虚线标出告警的开始。"],

  userId: ["User id", "Nutzer-ID", "用户 ID"],
  itemId: ["Item id", "Artikel-ID", "商品 ID"],
  show: ["Show", "Anzeigen", "显示"],
  userHint: ["Enter a user id, or choose a user with a recent event.", "Geben Sie eine Nutzer-ID ein, oder wählen Sie einen Nutzer mit einem neuen Ereignis.", "请输入用户 ID，或选择最近有事件的用户。"],
  itemHint: ["Enter an item id.", "Geben Sie eine Artikel-ID ein.", "请输入商品 ID。"],
  recentUsers: ["Users with a recent event", "Nutzer mit einem neuen Ereignis", "最近有事件的用户"],
  loading: ["Loading …", "Lädt …", "加载中……"],
  loaded: ["{name} is shown.", "{name} wird angezeigt.", "已显示 {name}。"],
  failed: ["The server answers: {detail}", "Der Server antwortet: {detail}", "服务器答复：{detail}"],
  noAnswer: ["The server does not answer.", "Der Server antwortet nicht.", "服务器没有响应。"],
  knownUser: ["{steps} events applied so far", "{steps} Ereignisse bisher angewandt", "至今已处理 {steps} 个事件"],
  unknownUser: [
    "This user has no stored row. The recommendations are those of a new user.",
    "Dieser Nutzer hat keine gespeicherte Zeile. Die Empfehlungen sind die eines neuen Nutzers.",
    "该用户没有存储的数据行。以下是新用户的推荐。",
  ],
  seenEvents: ["Events lately seen", "Zuletzt gesehene Ereignisse", "最近看到的事件"],
  noSeenEvents: [
    "No event of this user was among the events that the page has seen.",
    "Unter den Ereignissen, die die Seite gesehen hat, ist keines dieses Nutzers.",
    "页面看到的事件中没有该用户的事件。",
  ],
  turned: ["The vector turned by", "Der Vektor drehte sich um", "向量转动"],
  degrees: ["{value}°", "{value}°", "{value}°"],
  map: ["How the vector moved", "Wie sich der Vektor bewegte", "向量的移动"],
  mapNote: [
    "The plane of the two principal components of the item vectors' directions, fixed for the bundle. It shows {share} of their variance. Grey: some items. Line: the user, newest place filled. Squares: what is recommended now.",
    "Die Ebene der zwei Hauptkomponenten der Richtungen der Artikelvektoren, fest für das Bundle. Sie zeigt {share} ihrer Varianz. Grau: einige Artikel. Linie: der Nutzer, neuester Ort gefüllt. Quadrate: jetzt empfohlen.",
    "由商品向量方向的前两个主成分构成的平面，对每个模型包固定不变，可解释 {share} 的方差。灰点：部分商品。线：用户，最新位置为实心。方块：当前推荐。",
  ],
  mapLabel: ["Map: {count} places of the user", "Karte: {count} Orte des Nutzers", "地图：用户的 {count} 个位置"],
  after: ["Recommended now", "Jetzt empfohlen", "当前推荐"],
  before: ["Recommended before the last update", "Vor dem letzten Update empfohlen", "上次更新前的推荐"],
  noBefore: [
    "The page has not seen this user's vector of before.",
    "Die Seite hat den früheren Vektor dieses Nutzers nicht gesehen.",
    "页面没有看到该用户之前的向量。",
  ],
  place: ["Place", "Platz", "名次"],
  score: ["Score", "Punkte", "得分"],
  change: ["Change of the score", "Änderung der Punkte", "得分变化"],
  rankBefore: ["Place before", "Platz vorher", "之前名次"],
  newInList: ["below {most}", "unter {most}", "{most} 名之后"],
  movedNote: [
    "The change says what the last update did to the score of an item.",
    "Die Änderung sagt, was das letzte Update an den Punkten eines Artikels bewirkte.",
    "变化说明上次更新对商品得分的影响。",
  ],
  turnedNote: [
    "The angle says how far an update turned the user's vector. An update may cover several events, and then stands at the last.",
    "Der Winkel sagt, wie weit ein Update den Vektor des Nutzers drehte. Ein Update kann mehrere Ereignisse umfassen und steht dann beim letzten.",
    "角度说明一次更新使用户向量转动了多少。一次更新可能包含多个事件，角度显示在最后一个事件旁。",
  ],
  explain: ["What led to the first recommendation?", "Was führte zur ersten Empfehlung?", "首个推荐从何而来？"],
  explainedScore: ["the model's score {score}, place {rank}", "Punkte des Modells {score}, Platz {rank}", "模型得分 {score}，名次 {rank}"],
  explainNote: [
    "Each row compares the whole history with the history without that event.",
    "Jede Zeile vergleicht die ganze Historie mit der Historie ohne dieses Ereignis.",
    "每行比较完整历史与去掉该事件后的历史。",
  ],
  movedBy: ["The vector moved by", "Der Vektor bewegte sich um", "向量移动"],
  scoreByEvent: ["Score by this event", "Punkte durch dieses Ereignis", "该事件带来的得分"],
  rankWithout: ["Place without the event", "Platz ohne das Ereignis", "无该事件时的名次"],
  neighbours: ["Nearest items", "Nächste Artikel", "最近的商品"],
  cosine: ["Cosine", "Kosinus", "余弦"],
  category: ["Category", "Kategorie", "类别"],
  brand: ["Brand", "Marke", "品牌"],
  price: ["Price", "Preis", "价格"],
  notAvailable: ["not available", "nicht verfügbar", "无货"],
};

export const KEYS = Object.keys(TEXTS);

let language = "en";

/** Choose a language of LANGUAGES. */
export function useLanguage(name) {
  language = name in LANGUAGES ? name : "en";
  document.documentElement.lang = language;
}

export const currentLanguage = () => language;

/** The text of a key in the chosen language, with each {name} replaced. A key without a text is shown as it is. */
export function text(key, values = {}) {
  const found = TEXTS[key]?.[Object.keys(LANGUAGES).indexOf(language)] ?? key;
  return found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The texts of a key in all languages. */
export const allTexts = key => TEXTS[key];
