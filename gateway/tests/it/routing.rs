//! Which endpoint gets what: the fixture that started it all.

use crate::support::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn a_model_only_goes_where_it_is_deployed_and_shares_follow_the_weights() {
    let fleet = Fleet::with(
        "",
        |_, resource| resource,
        |name| {
            if name == "aoi-2" {
                "    weight: 2\n".to_owned()
            } else {
                String::new()
            }
        },
    )
    .await;
    for _ in 0..1_000 {
        for model in ["gpt-4o", "gpt-4o-mini"] {
            let answer = fleet.chat(model).await;
            assert_eq!(answer.status(), 200);
        }
        let url = fleet.gateway.url("/v1/embeddings");
        let answer =
            crate::support::post(&url, r#"{"model":"embedding-3-small","input":"x"}"#).await;
        assert_eq!(answer.status(), 200);
    }
    let share = |aoi: usize, model: &str| fleet.aoi(aoi).counts(model).requests;
    assert_eq!([1, 2, 3].map(|aoi| share(aoi, "gpt-4o")), [250, 500, 250]);
    assert_eq!([2, 3].map(|aoi| share(aoi, "gpt-4o-mini")), [667, 333]);
    assert_eq!(
        [1, 2].map(|aoi| share(aoi, "embedding-3-small")),
        [333, 667]
    );
    for (aoi, model) in [(1, "gpt-4o-mini"), (3, "embedding-3-small")] {
        assert_eq!(share(aoi, model), 0);
        assert_eq!(
            fleet.aoi(aoi).stats().resource.requests,
            0,
            "aoi-{aoi} got what it does not have"
        );
    }
}
