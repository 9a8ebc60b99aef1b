// Something to click for every task, so that nobody meets an empty page. A model's own examples come first.

const KOREAN = {
  classification: [
    { text: "비 오는 옥상에서 둘이 춤추는 장면, 올해의 명장면으로 꼽고 싶다" },
    { text: "두 시간이 아깝다. 중간에 나오고 싶었다" },
    { text: "유치하다고? 맞다. 그 유치함이 사랑스러워서 세 번 봤다 😂" },
  ],
  pair: [
    { premise: "약사는 이 약을 반드시 밥 먹기 삼십 분 전에 먹으라고 했다.", hypothesis: "약은 식사를 마치고 먹어야 한다." },
    { premise: "국제선 항공권의 유류 할증료가 다음 달부터 면제된다.", hypothesis: "다음 달에는 유류 할증료를 내지 않는다." },
    { premise: "물리 치료실에서 한 노인이 자전거 기구를 천천히 밟고 있다.", hypothesis: "노인은 뇌졸중을 앓은 적이 있다." },
  ],
  ner: [
    { text: "김구는 1949년 6월 26일 경교장에서 총에 맞아 세상을 떠났다." },
    { text: "퀴리는 1903년에 물리학상, 1911년에 화학상을 받아 노벨상을 두 번 탔다." },
    { text: "🎉 내일 오후 3시에 서울역에서 민수랑 만나자 👩‍👩‍👧" },
  ],
  qa: [
    {
      question: "어선은 무엇이 고장 났나?",
      context:
        "21시 10분, 북서풍이 초속 14미터로 세지고 눈발이 섞임. 등명기는 정상이나 시야가 흐려 공기 사이렌을 30초마다 5초씩 울리기로 함. 22시 35분, 어선 제2용왕호가 무선으로 기관 고장을 알려 옴. 선원 넷 모두 무사하다고 함.",
    },
    {
      question: "세종이 훈민정음을 만든 해는?",
      context: "세종은 1443년에 훈민정음을 만들고 1446년에 널리 폈다. 집현전의 학자들이 해례본을 썼다.",
    },
    { question: "도서관은 몇 시에 닫나?", context: "박물관은 아침 아홉 시에 열고 저녁 여섯 시에 닫는다. 월요일에는 쉰다." },
  ],
  generation: [
    { prompt: "윗집에서 밤 11시만 되면 쿵쿵거려요." },
    { prompt: "도서관 책 연체된 지 한 달 넘었어." },
    { prompt: "오늘은 아무것도 하기 싫다" },
  ],
  next: [{ text: "티끌 모아" }, { text: "옛날 옛적에 호랑이가" }, { text: "대한민국의 수도는" }],
  fill: [
    { text: "가는 말이 고와야 오는 [MASK] 곱다." },
    { text: "대한민국의 수도는 [MASK]이다." },
    { text: "이 영화는 정말 [MASK] [MASK]." },
  ],
};

/** The examples of a task, those of the models before ours. */
export function examples(task, models) {
  const known = new Map();
  for (const example of [...models.flatMap((model) => model.examples ?? []), ...(KOREAN[task] ?? [])]) {
    known.set(JSON.stringify(example), example);
  }
  return [...known.values()].slice(0, 4);
}
